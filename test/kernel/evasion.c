/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ways to call connect(), for a test that asks whether one of them gets past the proxy.
 *
 *   evasion MODE ADDRESS PORT [EXTRA]
 *     prints getpeername() and what the other end said, or the name of the errno. The modes are at
 * the end of this file. EXTRA: what a mode needs, see there. evasion race ADDRESS PORT COUNT COUNT
 * connections; prints "NAME TIMES" for each first word heard evasion give PATH [4|6] passes a
 * socket made here to whoever asks at that unix socket evasion take ADDRESS PORT PATH    connects
 * with the socket that it gets there
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static struct sockaddr_storage to;
static socklen_t size;
static const char *extra;
static char **arguments;
static int one = 1;

static int fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static void resolve(const char *host, const char *port, struct sockaddr_storage *address) {
  struct addrinfo *found, hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
  if (getaddrinfo(host, port, &hints, &found))
    fail(host);
  memcpy(address, found->ai_addr, found->ai_addrlen);
  size = found->ai_addrlen;
  freeaddrinfo(found);
}

static int make(int protocol) {
  struct timeval patience = {.tv_sec = 2};
  int fd = socket(to.ss_family, SOCK_STREAM, protocol);
  if (fd < 0)
    fail("socket");
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  return fd;
}

static int dial(int fd) {
  return connect(fd, (struct sockaddr *)&to, size);
}

static int hear(int fd, char *line, size_t room) {
  ssize_t got = read(fd, line, room - 1);
  line[got > 0 ? got : 0] = 0;
  return got < 0 ? -1 : 0;
}

static int report(int fd, int status) {
  struct sockaddr_storage peer;
  socklen_t length = sizeof(peer);
  char line[256], host[64], port[8];
  if (status || getpeername(fd, (struct sockaddr *)&peer, &length) || hear(fd, line, sizeof(line)))
    return puts(strerrorname_np(errno)) < 0;
  getnameinfo((struct sockaddr *)&peer, length, host, sizeof(host), port, sizeof(port),
              NI_NUMERICHOST | NI_NUMERICSERV);
  return printf("%s %s %s", host, port, *line ? line : "EOF\n") < 0;
}

/* Waits for a call that is under way, and says how it ended. */
static int settle(int fd) {
  struct pollfd wait = {.fd = fd, .events = POLLOUT};
  socklen_t length = sizeof(errno);
  int error;
  if (poll(&wait, 1, 2000) != 1)
    return errno = ETIMEDOUT, -1;
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
  return errno = error, error ? -1 : 0;
}

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
  return dial(fd);
}

static int transparent(int fd) {
  int level = to.ss_family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
  if (setsockopt(fd, level, level == IPPROTO_IP ? IP_TRANSPARENT : IPV6_TRANSPARENT, &one,
                 sizeof(one)))
    fail("IP_TRANSPARENT");
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
  return dial(fd);
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

static int forked(int fd) {
  int status = 1;
  pid_t child = fork();
  if (child == 0)
    exit(report(fd, dial(fd)));
  waitpid(child, &status, 0);
  exit(status);
}

static int vforked(int fd) {
  char name[16];
  int status = 1;
  sprintf(name, "%d", fd);
  pid_t child = vfork();
  if (child == 0) {
    execl("/proc/self/exe", "evasion", "inherited", arguments[2], arguments[3], name, NULL);
    _exit(1);
  }
  waitpid(child, &status, 0);
  exit(status);
}

static int inherited(int fd) {
  fd = atoi(extra);
  exit(report(fd, dial(fd)));
}

static void *dial_there(void *fd) {
  return (void *)(long)(dial(*(int *)fd) ? errno : 0);
}

static int threaded(int fd) {
  pthread_t thread;
  void *error;
  if (pthread_create(&thread, NULL, dial_there, &fd) || pthread_join(thread, &error))
    fail("thread");
  return errno = (int)(long)error, error ? -1 : 0;
}

/* The socket is the proxy's, by who made it; who connects is the application. */
static int uid(int fd) {
  if (setresgid(1337, 1337, 0) || setresuid(1337, 1337, 0))
    fail("ids");
  fd = make(0);
  if (setresuid(0, 0, 0) || setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000))
    fail("ids");
  exit(report(fd, dial(fd)));
}

/* Two levels below EXTRA, the container's cgroup. */
static int cgroup(int fd) {
  char path[4096];
  close(fd);
  for (int i = 0; i < 2; i++) {
    snprintf(path, sizeof(path), i ? "%s/nested/again" : "%s/nested", extra);
    if (mkdir(path, 0755))
      fail(path);
  }
  strcat(path, "/cgroup.procs");
  int procs = open(path, O_WRONLY);
  if (procs < 0 || write(procs, "0", 1) != 1)
    fail(path);
  fd = make(0);
  exit(report(fd, dial(fd)));
}

/* The socket is of the pod's namespace, the task is not. */
static int unshared(int fd) {
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
    fail("unshare");
  return dial(fd);
}

static int unshared_before(int fd) {
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
    fail("unshare");
  fd = make(0);
  exit(report(fd, dial(fd)));
}

static int race(void) {
  struct {
    char name[64];
    int times;
  } heard[16] = {0};
  for (int n = atoi(extra); n > 0; n--) {
    char line[256];
    int i, fd = make(0);
    if (dial(fd) || hear(fd, line, sizeof(line)))
      strcpy(line, strerrorname_np(errno));
    close(fd);
    line[strcspn(line, " \n")] = 0;
    for (i = 0; i < 15 && heard[i].times && strcmp(heard[i].name, line); i++)
      ;
    snprintf(heard[i].name, sizeof(heard[i].name), "%s", line);
    heard[i].times++;
  }
  for (int i = 0; heard[i].times; i++)
    printf("%s %d\n", heard[i].name, heard[i].times);
  return 0;
}

/* One byte with a descriptor beside it. */
static struct msghdr *parcel(char *room, size_t length) {
  static char byte = 'x';
  static struct iovec data = {&byte, 1};
  static struct msghdr message;
  message = (struct msghdr){
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = room, .msg_controllen = length};
  return &message;
}

_Noreturn static void give(const char *path, int family) {
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  char room[CMSG_SPACE(sizeof(int))] = {0};
  strcpy(at.sun_path, path);
  int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr *)&at, sizeof(at)) || listen(listener, 9) ||
      chmod(path, 0777))
    fail(path);
  puts("listening");
  fflush(stdout);
  for (;;) {
    int fd, peer = accept(listener, NULL, NULL);
    struct msghdr *message = parcel(room, sizeof(room));
    struct cmsghdr *head = CMSG_FIRSTHDR(message);
    to.ss_family = (sa_family_t)family;
    fd = make(0);
    *head = (struct cmsghdr){CMSG_LEN(sizeof(fd)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(head), &fd, sizeof(fd));
    sendmsg(peer, message, 0);
    close(peer);
    close(fd);
  }
}

static int take(int fd) {
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  char room[CMSG_SPACE(sizeof(int))] = {0};
  int peer = socket(AF_UNIX, SOCK_STREAM, 0);
  strcpy(at.sun_path, extra);
  close(fd);
  struct msghdr *message = parcel(room, sizeof(room));
  if (connect(peer, (struct sockaddr *)&at, sizeof(at)) || recvmsg(peer, message, 0) != 1)
    fail(extra);
  memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(message)), sizeof(fd));
  exit(report(fd, dial(fd)));
}

static const struct {
  const char *name;
  int (*run)(int fd);
  int protocol;
} modes[] = {
    {"plain", dial, 0},
    {"nonblock", nonblock, 0},
    {"twice", twice, 0},
    {"unspec", unspec, 0},
    {"flip", flip, 0},
    {"bound", bound, 0},
    {"device", device, 0},
    {"transparent", transparent, 0},
    {"mark", marked, 0},
    {"fastopen", fastopen, 0},
    {"fastopen-connect", fastopen_connect, 0},
    {"source-route", source_route, 0},
    {"mptcp", dial, IPPROTO_MPTCP},
    {"mptcp-unspec", unspec, IPPROTO_MPTCP},
    {"mptcp-fastopen", fastopen, IPPROTO_MPTCP},
    {"uring", uring_now, 0},
    {"uring-worker", uring_worker, 0},
    {"uring-thread", uring_thread, 0},
    {"fork", forked, 0},
    {"vfork", vforked, 0},
    {"inherited", inherited, 0},
    {"thread", threaded, 0},
    {"uid", uid, 0},
    {"cgroup", cgroup, 0},
    {"unshare", unshared, 0},
    {"unshare-before", unshared_before, 0},
    {"take", take, 0},
};

int main(int argc, char **argv) {
  arguments = argv;
  if (argc >= 3 && !strcmp(argv[1], "give"))
    give(argv[2], argc > 3 && *argv[3] == '6' ? AF_INET6 : AF_INET);
  if (argc < 4)
    return 2;
  resolve(argv[2], argv[3], &to);
  extra = argc > 4 ? argv[4] : "";
  if (!strcmp(argv[1], "race"))
    return race();
  for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
    if (strcmp(argv[1], modes[i].name))
      continue;
    int fd = make(modes[i].protocol);
    return report(fd, modes[i].run(fd));
  }
  return 2;
}
