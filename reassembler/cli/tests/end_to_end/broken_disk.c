/* Faults of a disk that no disk can be asked for, between a program and its C library: an fsync or a write that fails, or is slow.
 *
 * Loaded with LD_PRELOAD. The file that DISK_FAULT names has one line, read at each call:
 *
 *     once  sync  state.redb  5      the next sync of a path that holds `state.redb` fails with errno 5, and the file is removed
 *     all   write /state/     30     every such write fails, for as long as the file is there
 *     slow  sync  /           500    every sync takes 500 ms more
 *
 * `sync` is fsync, fdatasync and syncfs; `write` is write and pwrite. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* True where the call is to fail; errno is set then. Nothing here goes through the functions that are replaced. */
static int fault(const char *call, int fd) {
    const char *control = getenv("DISK_FAULT");
    if (!control) return 0;
    int file = (int)syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC, 0);
    if (file < 0) return 0;
    char line[512];
    long length = syscall(SYS_read, file, line, sizeof line - 1);
    syscall(SYS_close, file);
    if (length <= 0) return 0;
    line[length] = 0;

    char mode[16], which[16], where[400];
    int number;
    if (sscanf(line, "%15s %15s %399s %d", mode, which, where, &number) != 4 || strcmp(which, call)) return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long size = readlink(link, path, sizeof path - 1);
    if (size <= 0) return 0;
    path[size] = 0;
    if (!strstr(path, where)) return 0;

    if (!strcmp(mode, "slow")) {
        struct timespec delay = {number / 1000, number % 1000 * 1000000L};
        nanosleep(&delay, NULL);
        return 0;
    }
    /* Of several threads only the one that removes the file meets the fault. */
    if (!strcmp(mode, "once") && syscall(SYS_unlinkat, AT_FDCWD, control, 0) != 0) return 0;
    errno = number;
    return 1;
}

int fsync(int fd) { return fault("sync", fd) ? -1 : (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { return fault("sync", fd) ? -1 : (int)syscall(SYS_fdatasync, fd); }
int syncfs(int fd) { return fault("sync", fd) ? -1 : (int)syscall(SYS_syncfs, fd); }

ssize_t write(int fd, const void *bytes, size_t count) {
    return fault("write", fd) ? -1 : syscall(SYS_write, fd, bytes, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    return fault("write", fd) ? -1 : syscall(SYS_pwrite64, fd, bytes, count, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    return fault("write", fd) ? -1 : syscall(SYS_pwrite64, fd, bytes, count, at);
}
