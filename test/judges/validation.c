/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Istio's init container istio-validation asks of a pod before any proxy runs, written from
 * the description of its protocol and from nothing else, so that it can judge Shunt.
 *
 * It listens where the proxy will listen, on 127.0.0.1:15001 and 127.0.0.1:15006, and once a second
 * connects from 127.0.0.1 to 127.0.0.6:15002, where nobody listens. If the pod is captured, the
 * connection arrives at one of its own listeners, and SO_ORIGINAL_DST of the accepted socket says
 * port 15002.
 *
 *   validation [-6] [SECONDS]
 *     exit 0 on success, 126 after 5 s without it, or as many as are given; -6: from ::1 to
 * [::6]:15002
 *
 * Prints a line an event; lines of attempts carry CLOCK_MONOTONIC in ns from just before connect().
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SO_ORIGINAL_DST 80
#define SECOND 1000000000LL
#define NOT_CAPTURED 126

/* As large as what the kernel answers with in either family, and as istio-validation passes it. */
union answer {
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
  char bytes[32];
};

static const unsigned short ports[] = {15001, 15006};
static int family = AF_INET;

static long long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * SECOND + t.tv_nsec;
}

static void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static socklen_t endpoint(struct sockaddr_storage *to, const char *v4, const char *v6,
                          unsigned short port) {
  memset(to, 0, sizeof(*to));
  if (family == AF_INET) {
    struct sockaddr_in *in = (struct sockaddr_in *)to;
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    inet_pton(AF_INET, v4, &in->sin_addr);
    return sizeof(*in);
  }
  struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;
  in6->sin6_family = AF_INET6;
  in6->sin6_port = htons(port);
  inet_pton(AF_INET6, v6, &in6->sin6_addr);
  return sizeof(*in6);
}

static int listener(unsigned short port) {
  struct sockaddr_storage at;
  socklen_t size = endpoint(&at, "127.0.0.1", "::1", port);
  int on = 1, s = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0);

  if (s < 0 || setsockopt(s, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) ||
      bind(s, (struct sockaddr *)&at, size) || listen(s, 16))
    fail("listener");
  return s;
}

/* The answer is not waited for here: whether it arrives is the listeners' to say. */
static int attempt(void) {
  struct sockaddr_storage from, to;
  socklen_t size = endpoint(&from, "127.0.0.1", "::1", 0);
  int s = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0);

  endpoint(&to, "127.0.0.6", "::6", 15002);
  if (s < 0 || bind(s, (struct sockaddr *)&from, size))
    fail("client");
  printf("attempt %lld\n", now());
  if (connect(s, (struct sockaddr *)&to, size) && errno != EINPROGRESS)
    printf("refused %s\n", strerrorname_np(errno));
  return s;
}

/* Whether the connection that waits here was meant for port 15002. */
static int arrived(int listening) {
  union answer asked = {0};
  socklen_t size = sizeof(asked.bytes);
  char text[INET6_ADDRSTRLEN] = "";
  int s = accept(listening, NULL, NULL), level = family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;

  if (s < 0)
    return 0;
  if (getsockopt(s, level, SO_ORIGINAL_DST, asked.bytes, &size)) {
    printf("arrived without an original destination: %s\n", strerrorname_np(errno));
    close(s);
    return 0;
  }
  close(s);
  const void *address =
      family == AF_INET ? (void *)&asked.v4.sin_addr : (void *)&asked.v6.sin6_addr;
  unsigned short port = ntohs(family == AF_INET ? asked.v4.sin_port : asked.v6.sin6_port);
  inet_ntop(family, address, text, sizeof(text));
  printf("arrived %s port %u optlen %u\n", text, port, size);
  return port == 15002;
}

int main(int argc, char **argv) {
  long long seconds = 5;

  for (int i = 1; i < argc; i++)
    if (strcmp(argv[i], "-6") == 0)
      family = AF_INET6;
    else if ((seconds = atoi(argv[i])) <= 0)
      return 2;
  setvbuf(stdout, NULL, _IOLBF, 0);
  struct pollfd waiting[] = {{.fd = listener(ports[0]), .events = POLLIN},
                             {.fd = listener(ports[1]), .events = POLLIN}};
  const long long start = now(), end = start + seconds * SECOND;
  int client = -1;

  puts("listens");
  for (long long next = start; now() < end;) {
    long long until = (next < end ? next : end) - now();
    /* What has arrived comes before another attempt, however late this process is. */
    int ready = poll(waiting, 2, until > 0 ? (int)(until / 1000000) + 1 : 0);
    for (int i = 0; ready > 0 && i < 2; i++)
      if (waiting[i].revents && arrived(waiting[i].fd))
        return 0;
    if (now() < next)
      continue;
    if (client >= 0)
      close(client);
    client = attempt();
    next += SECOND;
  }
  return NOT_CAPTURED;
}
