/* Writes down what a process writes into one directory, and what it syncs there, in order: for LD_PRELOAD. TRACED
 * names the directory, TRACE the file of the record. Nothing is synced in truth: it only takes a moment.
 *
 * A record is: what (1 octet), offset (8), length (4), length of the name (2), name, octets. What is w for a write, t for
 * a new length, S for a sync that begins, E for one that has ended; both have the number of the sync as their offset. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static int trace = -1;
static const char *directory;
static int64_t syncs;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("TRACE");
    directory = getenv("TRACED");
    if (path && directory)
        trace = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* The name of an open file in the directory, "." for the directory itself; NULL for another. */
static const char *name_of(int fd, char *path, size_t size)
{
    char link[40];
    if (trace < 0 || fd == trace)
        return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    size_t prefix = strlen(directory);
    if (length < 0 || strncmp(path, directory, prefix))
        return NULL;
    path[length] = 0;
    return path[prefix] == 0 ? "." : path[prefix] == '/' ? path + prefix + 1 : NULL;
}

static void record(char what, const char *name, int64_t offset, const void *octets, uint32_t length)
{
    uint16_t named = (uint16_t)strlen(name);
    struct iovec parts[] = {{&what, 1},   {&offset, 8},           {&length, 4},
                            {&named, 2}, {(char *)name, named}, {(void *)octets, length}};
    static ssize_t (*real)(int, const struct iovec *, int);
    if (!real)
        real = (ssize_t(*)(int, const struct iovec *, int))dlsym(RTLD_NEXT, "writev");
    if (real(trace, parts, 6) < 0)
        abort();
}

ssize_t pwrite64(int fd, const void *octets, size_t length, off64_t offset)
{
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    char path[4096];
    const char *name = name_of(fd, path, sizeof path);
    if (!real)
        real = (ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    if (!name)
        return real(fd, octets, length, offset);
    pthread_mutex_lock(&order);
    ssize_t written = real(fd, octets, length, offset);
    if (written > 0)
        record('w', name, offset, octets, (uint32_t)written);
    pthread_mutex_unlock(&order);
    return written;
}

ssize_t pwrite(int fd, const void *octets, size_t length, off_t offset)
{
    return pwrite64(fd, octets, length, offset);
}

int ftruncate64(int fd, off64_t length)
{
    static int (*real)(int, off64_t);
    char path[4096];
    const char *name = name_of(fd, path, sizeof path);
    if (!real)
        real = (int (*)(int, off64_t))dlsym(RTLD_NEXT, "ftruncate64");
    pthread_mutex_lock(&order);
    int result = real(fd, length);
    if (name && result == 0)
        record('t', name, length, "", 0);
    pthread_mutex_unlock(&order);
    return result;
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

static int synced(const char *function, int fd)
{
    char path[4096];
    const char *name = name_of(fd, path, sizeof path);
    if (!name)
        return ((int (*)(int))dlsym(RTLD_NEXT, function))(fd);
    pthread_mutex_lock(&order);
    int64_t number = ++syncs;
    record('S', name, number, "", 0);
    pthread_mutex_unlock(&order);
    usleep(100);
    pthread_mutex_lock(&order);
    record('E', name, number, "", 0);
    pthread_mutex_unlock(&order);
    return 0;
}

int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }
