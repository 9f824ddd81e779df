/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an application without any capability can do: fill its socket's option memory (here with TCP
 * MD5 keys), so that nothing can be stored on the socket any more, and then connect.
 *
 *   optmem IP PORT   prints the errno's name of connect(), or "connected"
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int main(int argc, char **argv) {
  if (argc != 3)
    return 2;
  struct sockaddr_in target = {.sin_family = AF_INET,
                               .sin_port = htons((unsigned short)atoi(argv[2]))};
  int s = socket(AF_INET, SOCK_STREAM, 0), keys = 0;

  if (s < 0 || inet_pton(AF_INET, argv[1], &target.sin_addr) != 1)
    return 2;
  for (;; keys++) {
    struct tcp_md5sig key = {.tcpm_keylen = 1, .tcpm_key = {'k'}};
    struct sockaddr_in *peer = (struct sockaddr_in *)&key.tcpm_addr;
    peer->sin_family = AF_INET;
    peer->sin_addr.s_addr = htonl(0x0a000000u + (unsigned)keys);
    if (setsockopt(s, IPPROTO_TCP, TCP_MD5SIG, &key, sizeof(key)))
      break;
  }
  if (errno != ENOMEM) {
    fprintf(stderr, "key %d: %s\n", keys, strerror(errno));
    return 1;
  }
  puts(connect(s, (struct sockaddr *)&target, sizeof(target)) ? strerrorname_np(errno)
                                                              : "connected");
  return 0;
}
