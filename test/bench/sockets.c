/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures connect() and ping-pong in nanoseconds, with nothing between the call and the clock.
 *
 *   sockets serve IP PORT [ask]     accepts and echoes; prints "ready". ask: SO_ORIGINAL_DST and
 * the peer of each sockets connect IP PORT COUNT   median and 99th percentile of connect(), reset
 * at once after each sockets pingpong IP PORT COUNT  the same of one byte there and back on one
 * connection sockets binds IP PORT COUNT     the same of bind() sockets statistics              the
 * kernel measures its programs (bpf(2), BPF_ENABLE_STATS) while this runs
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
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

static struct sockaddr_in address(const char *ip, const char *port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
  if (inet_pton(AF_INET, ip, &a.sin_addr) != 1)
    die(ip);
  return a;
}

/* What a transparent proxy asks of a connection, and some applications. A reset one has no peer any
 * more. */
static void ask(int s) {
  struct sockaddr_in answer;
  socklen_t size = sizeof(answer);

  getsockopt(s, SOL_IP, 80 /* SO_ORIGINAL_DST */, &answer, &size);
  size = sizeof(answer);
  getpeername(s, (struct sockaddr *)&answer, &size);
}

static void serve(const char *ip, const char *port, int asks) {
  struct sockaddr_in a = address(ip, port);
  int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
  struct pollfd fds[64];
  nfds_t count = 1;
  char byte;

  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (bind(listener, (struct sockaddr *)&a, sizeof(a)) || listen(listener, 4096))
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
      if (asks)
        ask(s);
      setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
      fds[count++] = (struct pollfd){.fd = s, .events = POLLIN};
      if (poll(fds, 1, 0) <= 0)
        break;
    }
  }
}

static int open_connection(const struct sockaddr_in *a) {
  int one = 1, s = socket(AF_INET, SOCK_STREAM, 0);
  if (s < 0)
    die("socket");
  setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  if (connect(s, (const struct sockaddr *)a, sizeof(*a)))
    die("connect");
  return s;
}

/* The kernel stops measuring when the last descriptor is closed, however we end. */
static void statistics(void) {
  union bpf_attr attr = {.enable_stats.type = BPF_STATS_RUN_TIME};

  if (syscall(SYS_bpf, BPF_ENABLE_STATS, &attr, sizeof(attr)) < 0)
    die("BPF_ENABLE_STATS");
  puts("ready");
  fflush(stdout);
  for (;;)
    pause();
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
  if (argc == 2 && !strcmp(argv[1], "statistics"))
    statistics();
  if ((argc == 4 || argc == 5) && !strcmp(argv[1], "serve"))
    serve(argv[2], argv[3], argc == 5);
  if (argc != 5)
    return 2;

  struct sockaddr_in a = address(argv[2], argv[3]);
  size_t count = (size_t)atol(argv[4]);
  uint64_t *samples = calloc(count, sizeof(*samples));
  struct linger reset = {.l_onoff = 1};
  if (!samples)
    die("calloc");

  if (!strcmp(argv[1], "connect") || !strcmp(argv[1], "asks")) {
    int asks = !strcmp(argv[1], "asks");
    for (size_t i = 0; i < count; i++) {
      int s = socket(AF_INET, SOCK_STREAM, 0);
      uint64_t start = now();
      if (connect(s, (struct sockaddr *)&a, sizeof(a)))
        die("connect");
      samples[i] = now() - start;
      if (asks)
        ask(s);
      setsockopt(s, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
      close(s);
      /* The listener's queue must not fill: on one core the server runs only when we let it. */
      if (i % 16 == 15)
        usleep(100);
    }
  } else if (!strcmp(argv[1], "binds")) {
    for (size_t i = 0; i < count; i++) {
      int s = socket(AF_INET, SOCK_STREAM, 0);
      uint64_t start = now();
      if (bind(s, (struct sockaddr *)&a, sizeof(a)))
        die("bind");
      samples[i] = now() - start;
      close(s);
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
