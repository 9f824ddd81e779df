/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The accepting side of the conformance runs.
 *
 *   serve NAME PORT,PORT... [NAME PORT,...]...
 *
 * Listens on every port, TCP and UDP, IPv4 and IPv6, on all addresses; prints "ready". Tells
 * whoever comes the name, where the connection had been going (SO_ORIGINAL_DST, else the socket's
 * own address) and from where it came: "NAME ADDRESS PORT SOURCE".
 */
#define _GNU_SOURCE
#include "sockets.h"
#include <errno.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define ORIGINAL_DST 80
#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif

typedef struct {
  const char *name;
  int fd, type;
  uint16_t port;
} server;

static const char *text(const address *a) {
  static char buffers[2][INET6_ADDRSTRLEN];
  static unsigned turn;
  char *out = buffers[turn++ % 2];
  inet_ntop(a->any.sa_family,
            a->any.sa_family == AF_INET ? (const void *)&a->in.sin_addr : &a->in6.sin6_addr, out,
            INET6_ADDRSTRLEN);
  return out;
}

static server servers[1024];
static int count;

static void listen_on(const char *name, int family, int type, const char *port) {
  int one = 1, fd = socket(family, type | SOCK_NONBLOCK, 0);
  address a;
  if (fd < 0 && errno == EAFNOSUPPORT) /* a machine without IPv6 */
    return;
  if (fd < 0 || count == sizeof(servers) / sizeof(*servers))
    die("socket");
  parse(family == AF_INET ? "0.0.0.0" : "::", port, &a);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (family == AF_INET6) {
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one));
    setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &one, sizeof(one));
  } else {
    setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one));
  }
  if (bind(fd, &a.any, size(&a)) || (type == SOCK_STREAM && listen(fd, 4096)))
    die(port);
  servers[count++] = (server){.name = name, .fd = fd, .type = type, .port = ntohs(a.in.sin_port)};
}

static int describe(char *out, size_t room, const server *s, const address *to,
                    const address *from) {
  return snprintf(out, room, "%s %s %u %s\n", s->name, text(to), ntohs(to->in.sin_port),
                  text(from));
}

static void greet(const server *s) {
  address from, to;
  socklen_t length = sizeof(from);
  char line[256];
  int fd = accept4(s->fd, &from.any, &length, SOCK_NONBLOCK);
  if (fd < 0)
    return;
  length = sizeof(to);
  if (getsockopt(fd, from.any.sa_family == AF_INET ? SOL_IP : SOL_IPV6, ORIGINAL_DST, &to,
                 &length)) {
    length = sizeof(to);
    getsockname(fd, &to.any, &length);
  }
  /* A client that has gone already wants no answer. */
  (void)!write(fd, line, (size_t)describe(line, sizeof(line), s, &to, &from));
  close(fd);
}

/* Answers from the address that was asked: with all addresses bound, the kernel would choose one.
 */
static void answer(const server *s) {
  char line[256], control[256], received[64];
  address from, to;
  struct iovec data = {received, sizeof(received)};
  struct msghdr message = {.msg_name = &from,
                           .msg_namelen = sizeof(from),
                           .msg_iov = &data,
                           .msg_iovlen = 1,
                           .msg_control = control,
                           .msg_controllen = sizeof(control)};
  struct cmsghdr *info;
  if (recvmsg(s->fd, &message, 0) < 0 || !(info = CMSG_FIRSTHDR(&message)))
    return;
  memset(&to, 0, sizeof(to));
  to.any.sa_family = from.any.sa_family;
  to.in.sin_port = htons(s->port);
  if (from.any.sa_family == AF_INET) {
    struct in_pktinfo *local = (struct in_pktinfo *)CMSG_DATA(info);
    to.in.sin_addr = local->ipi_addr;
    *local = (struct in_pktinfo){.ipi_spec_dst = to.in.sin_addr};
  } else {
    struct in6_pktinfo *local = (struct in6_pktinfo *)CMSG_DATA(info);
    to.in6.sin6_addr = local->ipi6_addr;
    local->ipi6_ifindex = 0;
  }
  data = (struct iovec){line, (size_t)describe(line, sizeof(line), s, &to, &from)};
  sendmsg(s->fd, &message, 0);
}

int main(int argc, char **argv) {
  struct rlimit files = {4096, 4096};
  int poll = epoll_create1(0);
  setrlimit(RLIMIT_NOFILE, &files);
  for (int i = 1; i + 1 < argc; i += 2) {
    for (char *port = strtok(argv[i + 1], ","); port; port = strtok(NULL, ",")) {
      for (int j = 0; j < 4; j++)
        listen_on(argv[i], j & 1 ? AF_INET6 : AF_INET, j & 2 ? SOCK_DGRAM : SOCK_STREAM, port);
    }
  }
  for (int i = 0; i < count; i++) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &servers[i]};
    epoll_ctl(poll, EPOLL_CTL_ADD, servers[i].fd, &event);
  }
  puts("ready");
  fflush(stdout);
  for (;;) {
    struct epoll_event events[64];
    int ready = epoll_wait(poll, events, 64, -1);
    for (int i = 0; i < ready; i++) {
      const server *s = events[i].data.ptr;
      (s->type == SOCK_STREAM ? greet : answer)(s);
    }
  }
}
