// SPDX-License-Identifier: Apache-2.0
/*
 * The guest's first process: mounts what an agent's machine has, brings lo up, runs the guest
 * script, says its status on the serial line and reboots, which ends QEMU (-no-reboot). Static: it
 * needs nothing but the kernel.
 */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void complain(const char *subject) {
  printf("init: %s: %s\n", subject, strerror(errno));
}

static void provide(const char *type, const char *target) {
  mkdir(target, 0755);
  if (mount(type, target, type, 0, "") && errno != EBUSY)
    complain(target);
}

static void loopback(void) {
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request))
    complain("lo");
  close(fd);
}

int main(void) {
  setvbuf(stdout, NULL, _IONBF, 0);
  provide("devtmpfs", "/dev");
  provide("proc", "/proc");
  provide("sysfs", "/sys");
  provide("tmpfs", "/tmp");
  provide("tmpfs", "/run");
  provide("cgroup2", "/sys/fs/cgroup");
  provide("bpf", "/sys/fs/bpf");
  loopback();

  int status = 0;
  pid_t script = fork();
  if (script == 0) {
    char *arguments[] = {"/bin/node", "/shunt/guest.mjs", NULL};
    setenv("PATH", "/bin", 1);
    setenv("HOME", "/tmp", 1);
    execv(arguments[0], arguments);
    complain(arguments[0]);
    _exit(127);
  }
  /* Orphans become ours: only the script's end is the end. */
  while (waitpid(-1, &status, 0) != script)
    ;
  printf("\ninit: status %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  reboot(RB_AUTOBOOT);
}
