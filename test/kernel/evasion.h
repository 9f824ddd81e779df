/* SPDX-License-Identifier: Apache-2.0 */
/* What all ways have: the destination, a socket, and what comes of it. */
#ifndef SHUNT_TEST_EVASION
#define SHUNT_TEST_EVASION

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
  struct timeval patience = {.tv_sec = 20};
  int fd = socket(to.ss_family, SOCK_STREAM, protocol);
  if (fd < 0)
    fail("socket");
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  return fd;
}

/* For a call of which nothing is to come: waits for 2 s. */
static void hurry(int fd) {
  struct timeval patience = {.tv_sec = 2};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
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
  if (poll(&wait, 1, 20000) != 1)
    return errno = ETIMEDOUT, -1;
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
  return errno = error, error ? -1 : 0;
}

#endif
