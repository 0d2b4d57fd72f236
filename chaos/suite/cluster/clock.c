/* Sets a process's clocks off, as far as it reads them through the C library. Loaded before it
 * (LD_PRELOAD). By how much is in a file of six 64-bit numbers (CHAOS_CLOCK): what is added to the wall
 * clock, the monotonic one and the one that runs through suspend, in ns, and how often each was read.
 *
 * It asks the kernel itself and nothing else: programs read clocks before their allocator is ready. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { WALL, MONOTONIC, BOOT, CLOCKS };

struct offsets {
    int64_t added[CLOCKS];
    int64_t calls[CLOCKS];
};

static struct offsets right;
static struct offsets *offsets = &right;

__attribute__((constructor)) static void map(void) {
    const char *path = getenv("CHAOS_CLOCK");
    if (path == NULL) return;
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof(struct offsets), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) offsets = mapped;
}

static int kind(clockid_t clock) {
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
        return WALL;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_MONOTONIC_RAW:
        return MONOTONIC;
    case CLOCK_BOOTTIME:
        return BOOT;
    default:
        return CLOCKS;
    }
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    if (syscall(SYS_clock_gettime, clock, time) != 0) return -1;
    int which = kind(clock);
    if (which == CLOCKS) return 0;
    __atomic_add_fetch(&offsets->calls[which], 1, __ATOMIC_RELAXED);
    int64_t added = __atomic_load_n(&offsets->added[which], __ATOMIC_RELAXED);
    int64_t ns = time->tv_nsec + added % 1000000000;
    time->tv_sec += added / 1000000000;
    if (ns < 0) {
        ns += 1000000000;
        time->tv_sec -= 1;
    } else if (ns >= 1000000000) {
        ns -= 1000000000;
        time->tv_sec += 1;
    }
    time->tv_nsec = ns;
    return 0;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    (void)zone;
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *into) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return (time_t)-1;
    if (into != NULL) *into = now.tv_sec;
    return now.tv_sec;
}
