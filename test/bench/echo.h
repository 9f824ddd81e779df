/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What queries.c and sockets.c have in common: a clock, addresses of both families, a server that
 * echoes, and medians. Each is one program of one file, so everything is here as it is.
 */
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static inline void die(const char *what) {
  perror(what);
  exit(1);
}

static inline uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

union address {
  struct sockaddr any;
  struct sockaddr_in four;
  struct sockaddr_in6 six;
};

static inline socklen_t size_of(const union address *a) {
  return a->any.sa_family == AF_INET6 ? sizeof(a->six) : sizeof(a->four);
}

static inline union address parse(const char *ip, const char *port) {
  union address a = {.four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))}};
  if (strchr(ip, ':'))
    a.any.sa_family = AF_INET6; /* the port is in the same place */
  if (inet_pton(a.any.sa_family, ip,
                a.any.sa_family == AF_INET6 ? (void *)&a.six.sin6_addr
                                            : (void *)&a.four.sin_addr) != 1)
    die(ip);
  return a;
}

/* Accepts and echoes without end. accepted: what to do with each connection first; NULL for
 * nothing. */
static inline void serve(const union address *a, void (*accepted)(int)) {
  int one = 1, listener = socket(a->any.sa_family, SOCK_STREAM, 0);
  struct pollfd fds[64];
  nfds_t count = 1;
  char byte;

  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (bind(listener, &a->any, size_of(a)) || listen(listener, 4096))
    die("listen");
  puts("ready");
  fflush(stdout);
  fds[0] = (struct pollfd){.fd = listener, .events = POLLIN};
  for (;;) {
    if (poll(fds, count, -1) < 0)
      die("poll");
    for (nfds_t i = count; i-- > 1;) {
      if (!fds[i].revents)
        continue;
      if (read(fds[i].fd, &byte, 1) == 1) {
        if (write(fds[i].fd, &byte, 1) != 1 && errno != EPIPE && errno != ECONNRESET)
          die("write");
      } else {
        close(fds[i].fd);
        fds[i] = fds[--count];
      }
    }
    while (fds[0].revents && count < 64) {
      int s = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
      if (s < 0)
        break;
      if (accepted)
        accepted(s);
      setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
      fds[count++] = (struct pollfd){.fd = s, .events = POLLIN};
      if (poll(fds, 1, 0) <= 0)
        break;
    }
  }
}

static inline int open_connection(const union address *a) {
  int one = 1, s = socket(a->any.sa_family, SOCK_STREAM, 0);
  if (s < 0)
    die("socket");
  setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  if (connect(s, &a->any, size_of(a)))
    die("connect");
  return s;
}

static inline int compare(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static inline void report(uint64_t *samples, size_t count) {
  qsort(samples, count, sizeof(*samples), compare);
  printf("%llu %llu\n", (unsigned long long)samples[count / 2],
         (unsigned long long)samples[count * 99 / 100]);
}
