/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures connect() and ping-pong in nanoseconds, with nothing between the call and the clock.
 * Prints the median and the 99th percentile.
 *
 *   sockets serve IP PORT            accepts and echoes, prints "ready"
 *   sockets serve IP PORT ask        asks each one for SO_ORIGINAL_DST and its peer, too
 *   sockets connect IP PORT COUNT    connect(), reset at once after
 *   sockets asks IP PORT COUNT       the same, asked for the same in between
 *   sockets pingpong IP PORT COUNT   one byte there and back on one connection
 *   sockets binds IP PORT COUNT      bind()
 *   sockets statistics               the kernel measures its programs while this runs (bpf(2))
 */
#include "echo.h"
#include <linux/bpf.h>
#include <sys/syscall.h>

/* What a transparent proxy asks of a connection, and some applications. A reset one has no peer any
 * more. */
static void ask(int s) {
  struct sockaddr_in answer;
  socklen_t size = sizeof(answer);

  getsockopt(s, SOL_IP, 80 /* SO_ORIGINAL_DST */, &answer, &size);
  size = sizeof(answer);
  getpeername(s, (struct sockaddr *)&answer, &size);
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

int main(int argc, char **argv) {
  if (argc == 2 && !strcmp(argv[1], "statistics"))
    statistics();
  if (argc < 4)
    return 2;
  union address a = parse(argv[2], argv[3]);
  if (argc <= 5 && !strcmp(argv[1], "serve"))
    serve(&a, argc == 5 ? ask : NULL);
  if (argc != 5)
    return 2;

  size_t count = (size_t)atol(argv[4]);
  uint64_t *samples = calloc(count, sizeof(*samples));
  struct linger reset = {.l_onoff = 1};
  if (!samples)
    die("calloc");

  if (!strcmp(argv[1], "connect") || !strcmp(argv[1], "asks")) {
    int asks = !strcmp(argv[1], "asks");
    for (size_t i = 0; i < count; i++) {
      int s = socket(a.any.sa_family, SOCK_STREAM, 0);
      uint64_t start = now();
      if (connect(s, &a.any, size_of(&a)))
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
      int s = socket(a.any.sa_family, SOCK_STREAM, 0);
      uint64_t start = now();
      if (bind(s, &a.any, size_of(&a)))
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
