/* SPDX-License-Identifier: Apache-2.0 */
/* What serve.c and ask.c share. */
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

typedef union {
  struct sockaddr any;
  struct sockaddr_in in;
  struct sockaddr_in6 in6;
} address;

static inline void die(const char *what) {
  perror(what);
  exit(1);
}

static inline socklen_t size(const address *a) {
  return a->any.sa_family == AF_INET ? sizeof(a->in) : sizeof(a->in6);
}

static inline bool parse(const char *from, const char *port, address *a) {
  memset(a, 0, sizeof(*a));
  a->in.sin_port = htons((uint16_t)atoi(port)); /* at the same place in both */
  a->any.sa_family = strchr(from, ':') ? AF_INET6 : AF_INET;
  return inet_pton(a->any.sa_family, from,
                   a->any.sa_family == AF_INET ? (void *)&a->in.sin_addr : &a->in6.sin6_addr) == 1;
}
