/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both ends of a TCP connection, for tests that ask where it went.
 *
 *   endpoint listen NAME ADDRESS PORT [reuseport|mptcp|v6only]...
 *     prints "listening"; answers every connection with "NAME LOCAL PEER ORIGINAL-DESTINATION" and
 * closes it. Lines on stdin: shutdown, listen (again), close. Each is answered with "done".
 *   endpoint connect ADDRESS PORT [ends] [from=ADDRESS] [device=NAME] [patience=SECONDS]
 *     prints the answer, or the name of the errno; with "ends" its own "LOCAL PEER" in a line
 * before. It waits for 10 s unless it is told otherwise.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define SO_ORIGINAL_DST 80
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

union address {
  struct sockaddr any;
  struct sockaddr_in four;
  struct sockaddr_in6 six;
};

static socklen_t parse(const char *text, const char *port, union address *address) {
  memset(address, 0, sizeof(*address));
  if (strchr(text, ':')) {
    address->six.sin6_family = AF_INET6;
    address->six.sin6_port = htons((unsigned short)atoi(port));
    if (inet_pton(AF_INET6, text, &address->six.sin6_addr) != 1)
      exit(2);
    return sizeof(address->six);
  }
  address->four.sin_family = AF_INET;
  address->four.sin_port = htons((unsigned short)atoi(port));
  if (inet_pton(AF_INET, text, &address->four.sin_addr) != 1)
    exit(2);
  return sizeof(address->four);
}

static const char *show(const union address *address, char *text) {
  char ip[INET6_ADDRSTRLEN];
  if (address->any.sa_family == AF_INET) {
    inet_ntop(AF_INET, &address->four.sin_addr, ip, sizeof(ip));
    sprintf(text, "%s:%d", ip, ntohs(address->four.sin_port));
  } else {
    inet_ntop(AF_INET6, &address->six.sin6_addr, ip, sizeof(ip));
    sprintf(text, "[%s]:%d", ip, ntohs(address->six.sin6_port));
  }
  return text;
}

/* An IPv4 connection of an IPv6 socket is asked at the level of IPv4, as Envoy does. */
static const char *original(int fd, const union address *local, char *text) {
  union address found = {0};
  socklen_t size = sizeof(found);
  int six = local->any.sa_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&local->six.sin6_addr);
  if (getsockopt(fd, six ? IPPROTO_IPV6 : IPPROTO_IP, SO_ORIGINAL_DST, &found, &size))
    return strerrorname_np(errno);
  return show(&found, text);
}

static void answer(int listener, const char *name) {
  union address local, peer;
  socklen_t size = sizeof(local);
  char a[64], b[64], c[64];
  int fd = accept(listener, NULL, NULL);
  if (fd < 0)
    return;
  getsockname(fd, &local.any, &size);
  size = sizeof(peer);
  getpeername(fd, &peer.any, &size);
  dprintf(fd, "%s %s %s %s\n", name, show(&local, a), show(&peer, b), original(fd, &local, c));
  /* What the client wrote is read, or close() would reset the connection before it has the answer.
   */
  struct timeval patience = {.tv_sec = 10};
  shutdown(fd, SHUT_WR);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  while (read(fd, a, sizeof(a)) > 0)
    ;
  close(fd);
}

static int fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  return 1;
}

static int serve(int argc, char **argv) {
  union address address;
  socklen_t size = parse(argv[3], argv[4], &address);
  int protocol = 0, reuseport = 0, only = 0, one = 1;
  for (int i = 5; i < argc; i++) {
    protocol = strcmp(argv[i], "mptcp") ? protocol : IPPROTO_MPTCP;
    reuseport |= !strcmp(argv[i], "reuseport");
    only |= !strcmp(argv[i], "v6only");
  }
  int fd = socket(address.any.sa_family, SOCK_STREAM, protocol);
  if (fd < 0)
    return fail("socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (reuseport)
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
  if (address.any.sa_family == AF_INET6)
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
  if (bind(fd, &address.any, size) || listen(fd, 128))
    return fail(argv[3]);
  puts("listening");
  fflush(stdout);
  for (;;) {
    struct pollfd wait[2] = {{.fd = fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
    char line[32];
    poll(wait, 2, -1);
    if (wait[0].revents & POLLIN)
      answer(fd, argv[2]);
    else if (wait[0].revents)
      wait[0].fd = -1, usleep(1000); /* shut down: it would be ready for ever */
    if (!wait[1].revents)
      continue;
    if (!fgets(line, sizeof(line), stdin))
      return 0;
    if (!strcmp(line, "shutdown\n"))
      shutdown(fd, SHUT_RD);
    else if (!strcmp(line, "listen\n"))
      listen(fd, 128);
    else
      close(fd);
    puts("done");
    fflush(stdout);
  }
}

static int call(int argc, char **argv) {
  union address to, from;
  socklen_t size = parse(argv[2], argv[3], &to);
  struct timeval patience = {.tv_sec = 10};
  char line[256], a[64], b[64];
  int ends = 0, fd = socket(to.any.sa_family, SOCK_STREAM, 0);
  if (fd < 0)
    return fail("socket");
  for (int i = 4; i < argc; i++) {
    if (!strcmp(argv[i], "ends")) {
      ends = 1;
    } else if (!strncmp(argv[i], "patience=", 9)) {
      patience.tv_sec = atoi(argv[i] + 9);
    } else if (!strncmp(argv[i], "from=", 5)) {
      socklen_t length = parse(argv[i] + 5, "0", &from);
      if (bind(fd, &from.any, length))
        return fail(argv[i]);
    } else if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, argv[i] + 7, strlen(argv[i] + 7))) {
      return fail(argv[i]);
    }
  }
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  ssize_t got = connect(fd, &to.any, size);
  if (got == 0 && ends) {
    union address own, peer;
    socklen_t sizes[] = {sizeof(own), sizeof(peer)};
    getsockname(fd, &own.any, &sizes[0]);
    getpeername(fd, &peer.any, &sizes[1]);
    printf("%s %s\n", show(&own, a), show(&peer, b));
  }
  if (got == 0)
    got = read(fd, line, sizeof(line) - 1);
  if (got < 0)
    return puts(strerrorname_np(errno)) < 0;
  line[got] = 0;
  return fputs(got ? line : "EOF\n", stdout) < 0;
}

int main(int argc, char **argv) {
  if (argc >= 5 && !strcmp(argv[1], "listen"))
    return serve(argc, argv);
  if (argc >= 4 && !strcmp(argv[1], "connect"))
    return call(argc, argv);
  return 2;
}
