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
#include "echo.h"

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

int main(int argc, char **argv) {
  if (argc < 4)
    return 2;
  union address a = parse(argv[2], argv[3]);
  if (argc == 4 && !strcmp(argv[1], "serve"))
    serve(&a, NULL);
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
