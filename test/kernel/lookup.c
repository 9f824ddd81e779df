/* SPDX-License-Identifier: Apache-2.0 */
/* lookup NAME: prints what getaddrinfo() of the C library that it was linked with finds, an address
 * a line. */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

int main(int argc, char **argv) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
  char text[INET6_ADDRSTRLEN];
  int status = argc == 2 ? getaddrinfo(argv[1], NULL, &hints, &found) : EAI_FAIL;
  if (status) {
    puts(gai_strerror(status));
    return 1;
  }
  for (; found; found = found->ai_next) {
    int six = found->ai_family == AF_INET6;
    const void *address = six ? (void *)&((struct sockaddr_in6 *)found->ai_addr)->sin6_addr
                              : (void *)&((struct sockaddr_in *)found->ai_addr)->sin_addr;
    puts(inet_ntop(found->ai_family, address, text, sizeof(text)));
  }
  return 0;
}
