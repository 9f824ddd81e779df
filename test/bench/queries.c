/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures connect(), ping-pong and UDP queries in nanoseconds, with nothing between the call and
 * the clock. Prints the median and the 99th percentile.
 *
 *   queries serve IP PORT            accepts and echoes, prints "ready"
 *   queries serve-udp IP PORT        echoes, prints "ready"
 *   queries connect IP PORT COUNT    connect(), reset at once after
 *   queries pingpong IP PORT COUNT   one byte there and back on one connection
 *   queries query IP PORT COUNT      a socket, a datagram there and back, and close()
 *   queries lookup IP PORT COUNT     the same with connect()
 */
#define _GNU_SOURCE
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

static void die(const char *what) {
  perror(what);
  exit(1);
}

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

union address {
  struct sockaddr any;
  struct sockaddr_in four;
  struct sockaddr_in6 six;
};

static socklen_t size_of(const union address *a) {
  return a->any.sa_family == AF_INET6 ? sizeof(a->six) : sizeof(a->four);
}

static union address parse(const char *ip, const char *port) {
  union address a = {.four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))}};
  if (strchr(ip, ':'))
    a.any.sa_family = AF_INET6; /* the port is in the same place */
  if (inet_pton(a.any.sa_family, ip,
                a.any.sa_family == AF_INET6 ? (void *)&a.six.sin6_addr
                                            : (void *)&a.four.sin_addr) != 1)
    die(ip);
  return a;
}

static void serve(const union address *a) {
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
      setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
      fds[count++] = (struct pollfd){.fd = s, .events = POLLIN};
      if (poll(fds, 1, 0) <= 0)
        break;
    }
  }
}

/* As a DNS proxy does: one socket, each answer to where the query came from. */
static void serve_udp(const union address *a) {
  int s = socket(a->any.sa_family, SOCK_DGRAM, 0);
  char query[512];

  if (bind(s, &a->any, size_of(a)))
    die("bind");
  puts("ready");
  fflush(stdout);
  for (;;) {
    union address from;
    socklen_t size = sizeof(from);
    ssize_t got = recvfrom(s, query, sizeof(query), 0, &from.any, &size);
    if (got < 0 || sendto(s, query, (size_t)got, 0, &from.any, size) < 0)
      die("echo");
  }
}

/* The asker wants to know who answered, as resolvers do. */
static void ask(const union address *a, int connected) {
  static char query[40];
  union address from;
  socklen_t size = sizeof(from);
  int s = socket(a->any.sa_family, SOCK_DGRAM, 0);

  if (s < 0 || (connected && connect(s, &a->any, size_of(a))))
    die("connect");
  if (sendto(s, query, sizeof(query), 0, connected ? NULL : &a->any, connected ? 0 : size_of(a)) <
          0 ||
      recvfrom(s, query, sizeof(query), 0, &from.any, &size) < 0)
    die("query");
  close(s);
}

static int open_connection(const union address *a) {
  int one = 1, s = socket(a->any.sa_family, SOCK_STREAM, 0);
  if (s < 0)
    die("socket");
  setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  if (connect(s, &a->any, size_of(a)))
    die("connect");
  return s;
}

static int compare(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static void report(uint64_t *samples, size_t count) {
  qsort(samples, count, sizeof(*samples), compare);
  printf("%llu %llu\n", (unsigned long long)samples[count / 2],
         (unsigned long long)samples[count * 99 / 100]);
}

int main(int argc, char **argv) {
  if (argc < 4)
    return 2;
  union address a = parse(argv[2], argv[3]);
  if (argc == 4 && !strcmp(argv[1], "serve"))
    serve(&a);
  if (argc == 4 && !strcmp(argv[1], "serve-udp"))
    serve_udp(&a);
  if (argc != 5)
    return 2;

  size_t count = (size_t)atol(argv[4]);
  uint64_t *samples = calloc(count, sizeof(*samples));
  struct linger reset = {.l_onoff = 1};
  if (!samples)
    die("calloc");

  if (!strcmp(argv[1], "connect")) {
    for (size_t i = 0; i < count; i++) {
      int s = socket(a.any.sa_family, SOCK_STREAM, 0);
      uint64_t start = now();
      if (connect(s, &a.any, size_of(&a)))
        die("connect");
      samples[i] = now() - start;
      setsockopt(s, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
      close(s);
      /* The listener's queue must not fill: on one core the server runs only when we let it. */
      if (i % 16 == 15)
        usleep(100);
    }
  } else if (strcmp(argv[1], "pingpong")) {
    for (size_t i = 0; i < count; i++) {
      uint64_t start = now();
      ask(&a, !strcmp(argv[1], "lookup"));
      samples[i] = now() - start;
    }
  } else {
    int s = open_connection(&a);
    char byte = 'x';
    for (size_t i = 0; i < count; i++) {
      uint64_t start = now();
      if (write(s, &byte, 1) != 1 || read(s, &byte, 1) != 1)
        die("pingpong");
      samples[i] = now() - start;
    }
  }
  report(samples, count);
  return 0;
}
