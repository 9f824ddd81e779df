/* SPDX-License-Identifier: Apache-2.0 */
/* Other calls, other sockets: each returns as connect() does. */
#ifndef SHUNT_TEST_EVASION_CALLS
#define SHUNT_TEST_EVASION_CALLS

#include "evasion.h"

static int nonblock(int fd) {
  fcntl(fd, F_SETFL, O_NONBLOCK);
  int status = dial(fd) && errno != EINPROGRESS ? -1 : settle(fd);
  fcntl(fd, F_SETFL, 0);
  return status;
}

/* The second call comes while the first is under way, or after it. */
static int twice(int fd) {
  fcntl(fd, F_SETFL, O_NONBLOCK);
  dial(fd);
  dial(fd);
  int status = settle(fd);
  fcntl(fd, F_SETFL, 0);
  return status;
}

static int unspec(int fd) {
  struct sockaddr none = {.sa_family = AF_UNSPEC};
  dial(fd);
  return connect(fd, &none, sizeof(none)) ? -1 : dial(fd);
}

/* First to port 1 of EXTRA, which is not captured and refuses, then with the same socket. */
static int flip(int fd) {
  struct sockaddr_storage wanted = to;
  struct sockaddr none = {.sa_family = AF_UNSPEC};
  resolve(extra, "1", &to);
  dial(fd);
  connect(fd, &none, sizeof(none));
  to = wanted;
  return dial(fd);
}

/* To EXTRA, an address, from port 20001. */
static int bound(int fd) {
  struct sockaddr_storage from;
  resolve(extra, "20001", &from);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  return bind(fd, (struct sockaddr *)&from, size) ? -1 : dial(fd);
}

static int device(int fd) {
  if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, extra, strlen(extra)))
    fail(extra);
  hurry(fd);
  return dial(fd);
}

static int transparent(int fd) {
  int level = to.ss_family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
  if (setsockopt(fd, level, level == IPPROTO_IP ? IP_TRANSPARENT : IPV6_TRANSPARENT, &one,
                 sizeof(one)))
    fail("IP_TRANSPARENT");
  hurry(fd);
  return bound(fd);
}

static int marked(int fd) {
  if (setsockopt(fd, SOL_SOCKET, SO_MARK, &one, sizeof(one)))
    fail("SO_MARK");
  return dial(fd);
}

static int fastopen(int fd) {
  return sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&to, size) < 0 ? -1 : 0;
}

/* connect() returns at once; the SYN goes with the first write. */
static int fastopen_connect(int fd) {
  if (setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof(one)))
    fail("TCP_FASTOPEN_CONNECT");
  return dial(fd) || write(fd, "x", 1) != 1 ? -1 : 0;
}

/* A loose source route over EXTRA: the packets go there, with the destination in an option. */
static int source_route(int fd) {
  unsigned char option[8] = {131, 7, 4};
  struct sockaddr_storage hop;
  resolve(extra, "0", &hop);
  memcpy(option + 3, &((struct sockaddr_in *)&hop)->sin_addr, 4);
  if (setsockopt(fd, IPPROTO_IP, IP_OPTIONS, option, sizeof(option)))
    fail("IP_OPTIONS");
  hurry(fd);
  return dial(fd);
}

static unsigned short checksum(const void *data, size_t length) {
  const unsigned short *word = data;
  unsigned sum = 0;
  for (; length > 1; length -= 2)
    sum += *word++;
  return (unsigned short)~((sum & 0xffff) + (sum >> 16));
}

/* A SYN of our own making, from EXTRA and port 20001. Prints the flags of the answer: 18 is SYN and
 * ACK. */
static int raw(int fd) {
  struct sockaddr_in target = *(struct sockaddr_in *)&to;
  struct {
    struct in_addr from, to;
    unsigned short protocol, length;
    struct tcphdr tcp;
  } segment = {.to = target.sin_addr, .protocol = htons(IPPROTO_TCP), .length = htons(20)};
  struct {
    unsigned char ip[20];
    struct tcphdr tcp;
  } answer;
  inet_pton(AF_INET, extra, &segment.from);
  segment.tcp.source = htons(20001);
  segment.tcp.dest = target.sin_port;
  segment.tcp.doff = 5;
  segment.tcp.syn = 1;
  segment.tcp.window = htons(1000);
  segment.tcp.check = checksum(&segment, sizeof(segment));
  close(fd);
  fd = socket(AF_INET, SOCK_RAW, IPPROTO_TCP);
  target.sin_port = 0;
  if (fd < 0 || sendto(fd, &segment.tcp, 20, 0, (struct sockaddr *)&target, sizeof(target)) != 20)
    fail("raw");
  while (recv(fd, &answer, sizeof(answer), 0) > 0)
    if (answer.tcp.dest == segment.tcp.source)
      exit(printf("%d\n", answer.tcp.th_flags) < 0);
  return -1;
}

static int uring(int fd, unsigned setup, unsigned char flags) {
  struct io_uring_params p = {.flags = setup};
  int ring = (int)syscall(SYS_io_uring_setup, 4, &p);
  if (ring < 0)
    fail("io_uring_setup");
  int access = PROT_READ | PROT_WRITE;
  size_t entries = p.sq_entries * sizeof(struct io_uring_sqe);
  char *sq =
      mmap(0, p.sq_off.array + p.sq_entries * 4, access, MAP_SHARED, ring, IORING_OFF_SQ_RING);
  char *cq = mmap(0, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe), access, MAP_SHARED,
                  ring, IORING_OFF_CQ_RING);
  struct io_uring_sqe *sqe = mmap(0, entries, access, MAP_SHARED, ring, IORING_OFF_SQES);
  if (sq == MAP_FAILED || cq == MAP_FAILED || sqe == MAP_FAILED)
    fail("mmap");
  *sqe = (struct io_uring_sqe){.opcode = IORING_OP_CONNECT,
                               .flags = flags,
                               .fd = fd,
                               .addr = (unsigned long)&to,
                               .off = size};
  *(unsigned *)(sq + p.sq_off.array) = 0;
  __atomic_store_n((unsigned *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
  unsigned enter =
      IORING_ENTER_GETEVENTS | (setup & IORING_SETUP_SQPOLL ? IORING_ENTER_SQ_WAKEUP : 0);
  if (syscall(SYS_io_uring_enter, ring, 1, 1, enter, NULL, 0) < 0)
    fail("io_uring_enter");
  int result = ((struct io_uring_cqe *)(cq + p.cq_off.cqes))->res;
  return errno = -result, result < 0 ? -1 : 0;
}

static int uring_now(int fd) {
  return uring(fd, 0, 0);
}
static int uring_worker(int fd) {
  return uring(fd, 0, IOSQE_ASYNC);
}
static int uring_thread(int fd) {
  return uring(fd, IORING_SETUP_SQPOLL, 0);
}

#endif
