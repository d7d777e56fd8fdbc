/*
 * A disk that can be watched and broken: loaded into a server by LD_PRELOAD, it writes down what is done to the files of
 * a folder, in order, and lets flushes and writes fail or be slow, as a test says while the server runs.
 *
 *   DISK_ROOT     the folder; what lies outside is left alone, and so is what SQLite shares by mapping (-shm)
 *   DISK_RECORD   where to append the record; see tests/support/record.rs, which reads it
 *   DISK_CONTROL  a file of 64 bytes, `struct control` below; see tests/support/faults.rs, which writes it
 *
 * A change stands in the record once it was made and before the caller knows; a flush has two entries, around it. So
 * whatever the server says after a flush comes behind it, and marks that others append to the record stand in order too.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* What a test says, and what it can see. All little-endian, as the machine is. */
struct control {
    _Atomic uint32_t flush_delay_ms; /* at least so long, unless it becomes less meanwhile */
    _Atomic uint32_t flush_errno;   /* of every flush, unless 0 */
    _Atomic uint32_t write_errno;   /* of every write and of all that makes or changes files, unless 0 */
    _Atomic uint32_t scope;         /* whose: 0 all files, 1 the log's, 2 those of accounts */
    _Atomic uint32_t kill_at_flush; /* ends the process in front of the so many-th flush of these from now, unless 0 */
    _Atomic uint32_t flushing;      /* how many flushes are under way */
    _Atomic uint32_t failed_flushes;
};

enum { START = 1, MKDIR, CREATE, WRITE, TRUNCATE, FLUSH, FLUSHED, FLUSH_FAILED, RENAME, UNLINK, LINK, UNKNOWN, ZEROS };
enum { OTHER = 0, LOG = 1, ACCOUNTS = 2 };

/* An entry: this, then `first` bytes of a path, then `second` bytes of another path or of what was written; of zeros, how
 * many. */
struct entry {
    uint32_t kind, first;
    uint64_t inode, offset, second;
};

#define FILES 4096
static struct { uint64_t device, inode; int class, gone; } files[FILES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct control nothing, *control = &nothing;
static const char *root;
static size_t root_length;
static int record = -1;
static uint64_t flushes;

#define REAL(result, name, ...) static result (*real_##name)(__VA_ARGS__)
REAL(int, open, const char *, int, ...);
REAL(int, openat, int, const char *, int, ...);
REAL(ssize_t, write, int, const void *, size_t);
REAL(ssize_t, writev, int, const struct iovec *, int);
REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
REAL(int, ftruncate, int, off_t);
REAL(int, fsync, int);
REAL(int, fdatasync, int);
REAL(int, rename, const char *, const char *);
REAL(int, unlink, const char *);
REAL(int, link, const char *, const char *);
REAL(int, linkat, int, const char *, int, const char *, int);
REAL(int, mkdir, const char *, mode_t);
REAL(int, fallocate, int, int, off_t, off_t);

static void append(uint32_t kind, uint64_t inode, uint64_t offset, const char *path, const void *more, size_t size)
{
    if (record < 0)
        return;
    struct entry entry = { kind, path ? strlen(path) : 0, inode, offset, size };
    struct iovec parts[] = { { &entry, sizeof entry }, { (void *)path, entry.first }, { (void *)more, size } };
    /* One call: others append to the same file. */
    if (real_writev(record, parts, 3) != (ssize_t)(sizeof entry + entry.first + size))
        abort();
}

static void begin(void)
{
#define FIND(name) real_##name = dlsym(RTLD_NEXT, #name)
    FIND(open), FIND(openat), FIND(write), FIND(writev), FIND(pwrite), FIND(ftruncate), FIND(fsync), FIND(fdatasync);
    FIND(rename), FIND(unlink), FIND(link), FIND(linkat), FIND(mkdir), FIND(fallocate);
    root = getenv("DISK_ROOT");
    if (!root)
        return;
    root_length = strlen(root);
    const char *path = getenv("DISK_RECORD");
    if (path && (record = real_open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600)) < 0)
        abort();
    path = getenv("DISK_CONTROL");
    if (path) {
        int file = real_open(path, O_RDWR | O_CLOEXEC);
        control = file < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (control == MAP_FAILED)
            abort();
    }
    struct stat status;
    if (stat(root, &status) == 0)
        append(START, status.st_ino, 0, root, NULL, 0);
}

static void ready(void) { pthread_once(&once, begin); }

static int ends_with(const char *path, const char *end)
{
    size_t length = strlen(path), size = strlen(end);
    return length >= size && strcmp(path + length - size, end) == 0;
}

static int is_inside(const char *path)
{
    return root && path && strncmp(path, root, root_length) == 0 && (path[root_length] == '/' || !path[root_length])
        && !ends_with(path, "-shm");
}

static int class_of(const char *path)
{
    const char *name = strrchr(path, '/');
    if (name && strncmp(name, "/log.db", 7) == 0)
        return LOG;
    return name && strncmp(name, "/accounts.db", 12) == 0 ? ACCOUNTS : OTHER;
}

/* Remembers a file by its number: descriptors are duplicated and used again. Called with the lock. */
static void know(const struct stat *status, int class)
{
    for (size_t at = status->st_ino % FILES, n = 0; n < FILES; n++, at = (at + 1) % FILES) {
        if (!files[at].inode || (files[at].inode == status->st_ino && files[at].device == status->st_dev)) {
            files[at].device = status->st_dev, files[at].inode = status->st_ino;
            files[at].class = class, files[at].gone = 0;
            return;
        }
    }
    abort();
}

/* Forgets the file behind a path that is about to go: another will get its number. Called with the lock. */
static void forget(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0 || status.st_nlink > 1)
        return;
    for (size_t at = 0; at < FILES; at++) {
        if (files[at].inode == status.st_ino && files[at].device == status.st_dev)
            files[at].gone = 1;
    }
}

/* The number of a file of ours, or 0. */
static uint64_t ours(int fd, int *class)
{
    ready();
    struct stat status;
    if (!root || fstat(fd, &status) != 0 || !(S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)))
        return 0;
    for (size_t at = status.st_ino % FILES, n = 0; n < FILES && files[at].inode; n++, at = (at + 1) % FILES) {
        if (files[at].inode == status.st_ino && files[at].device == status.st_dev) {
            *class = files[at].class;
            return files[at].gone ? 0 : status.st_ino;
        }
    }
    return 0;
}

static int in_scope(int class)
{
    uint32_t scope = control->scope;
    return scope == 0 || scope == (uint32_t)class;
}

/* Whether a write to a file of this class fails; errno says how. */
static int refused(int class)
{
    int error = control->write_errno;
    if (!error || !in_scope(class))
        return 0;
    errno = error;
    return 1;
}

/* The same of what needs no room. */
static int refused_even_without_room(int class) { return control->write_errno != ENOSPC && refused(class); }

static int opened(int at, const char *path, int flags, mode_t mode)
{
    ready();
    if (!is_inside(path))
        return at == AT_FDCWD ? real_open(path, flags, mode) : real_openat(at, path, flags, mode);
    struct stat status;
    pthread_mutex_lock(&lock);
    int is_new = stat(path, &status) != 0, fd = -1;
    /* A full disk opens what is there; one that only reads opens nothing for writing. */
    int changes = (flags & O_CREAT && is_new) || (flags & O_ACCMODE) != O_RDONLY;
    if (!((is_new || control->write_errno == EROFS) && changes && refused(class_of(path))))
        fd = real_open(path, flags, mode);
    int error = errno;
    if (fd >= 0 && fstat(fd, &status) == 0) {
        know(&status, class_of(path));
        if (is_new)
            append(CREATE, status.st_ino, 0, path, NULL, 0);
        else if (flags & O_TRUNC)
            append(TRUNCATE, status.st_ino, 0, NULL, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

static mode_t mode_of(int flags, va_list more) { return flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; }

#define OPEN(name, ...)                                                                                                \
    int name(__VA_ARGS__, int flags, ...)                                                                              \
    {                                                                                                                  \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        mode_t mode = mode_of(flags, more);                                                                            \
        va_end(more);                                                                                                  \
        return opened(at_, path, flags, mode);                                                                         \
    }
#define at_ AT_FDCWD
OPEN(open, const char *path)
OPEN(open64, const char *path)
#undef at_
#define at_ at
OPEN(openat, int at, const char *path)
OPEN(openat64, int at, const char *path)

/* A long stretch of zeros is not worth its place in the record. */
static int is_zeros(const char *bytes, size_t size)
{
    return size > 4096 && bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

/* Writes at `offset`, or where the file stands if that is -1. */
static ssize_t written(int fd, const void *bytes, size_t size, off_t offset)
{
    int class;
    uint64_t inode = ours(fd, &class);
    if (!inode)
        return offset < 0 ? real_write(fd, bytes, size) : real_pwrite(fd, bytes, size, offset);
    if (refused(class))
        return -1;
    pthread_mutex_lock(&lock);
    off_t place = offset;
    if (offset < 0)
        place = fcntl(fd, F_GETFL) & O_APPEND ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
    ssize_t done = offset < 0 ? real_write(fd, bytes, size) : real_pwrite(fd, bytes, size, offset);
    int error = errno;
    uint64_t count = done;
    if (done > 0 && is_zeros(bytes, done))
        append(ZEROS, inode, place, NULL, &count, sizeof count);
    else if (done > 0)
        append(WRITE, inode, place, NULL, bytes, done);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

ssize_t write(int fd, const void *bytes, size_t size) { return written(fd, bytes, size, -1); }
ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset) { return written(fd, bytes, size, offset); }
ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t offset) { return written(fd, bytes, size, offset); }

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    int class;
    if (!ours(fd, &class) || count < 1)
        return real_writev(fd, parts, count);
    /* The first alone: a short write is none that a caller could not meet. */
    int at = 0;
    while (at + 1 < count && parts[at].iov_len == 0)
        at++;
    return written(fd, parts[at].iov_base, parts[at].iov_len, -1);
}

static int truncated(int fd, off_t size)
{
    int class;
    uint64_t inode = ours(fd, &class);
    if (!inode)
        return real_ftruncate(fd, size);
    if (refused_even_without_room(class))
        return -1;
    pthread_mutex_lock(&lock);
    int result = real_ftruncate(fd, size), error = errno;
    if (result == 0)
        append(TRUNCATE, inode, size, NULL, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int ftruncate(int fd, off_t size) { return truncated(fd, size); }
int ftruncate64(int fd, off_t size) { return truncated(fd, size); }

static int flushed(int fd, int (*real)(int))
{
    int class;
    uint64_t inode = ours(fd, &class);
    if (!inode)
        return real(fd);
    pthread_mutex_lock(&lock);
    control->flushing++;
    if (class != OTHER && in_scope(class) && control->kill_at_flush && --control->kill_at_flush == 0) {
        /* With the lock: nothing that is not in the record gets to the disk. */
        kill(getpid(), SIGKILL);
        pause();
    }
    uint64_t number = ++flushes;
    append(FLUSH, inode, number, NULL, NULL, 0);
    pthread_mutex_unlock(&lock);
    /* In steps: a disk that is mended is quick at once. */
    const struct timespec step = { 0, 1000000L };
    for (uint32_t waited = 0; in_scope(class) && waited < control->flush_delay_ms; waited++)
        nanosleep(&step, NULL);
    int failure = in_scope(class) ? control->flush_errno : 0, result = failure ? -1 : real(fd);
    int error = failure ? failure : errno;
    pthread_mutex_lock(&lock);
    append(result == 0 ? FLUSHED : FLUSH_FAILED, inode, number, NULL, NULL, 0);
    pthread_mutex_unlock(&lock);
    if (failure)
        control->failed_flushes++;
    control->flushing--;
    errno = error;
    return result;
}

int fsync(int fd) { return ready(), flushed(fd, real_fsync); }
int fdatasync(int fd) { return ready(), flushed(fd, real_fdatasync); }

int rename(const char *from, const char *to)
{
    ready();
    if (!is_inside(from) && !is_inside(to))
        return real_rename(from, to);
    if (refused(class_of(to)))
        return -1;
    pthread_mutex_lock(&lock);
    forget(to);
    int result = real_rename(from, to), error = errno;
    if (result == 0)
        append(RENAME, 0, 0, from, to, strlen(to));
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int unlink(const char *path)
{
    ready();
    if (!is_inside(path))
        return real_unlink(path);
    if (refused_even_without_room(class_of(path)))
        return -1;
    pthread_mutex_lock(&lock);
    forget(path);
    int result = real_unlink(path), error = errno;
    if (result == 0)
        append(UNLINK, 0, 0, path, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

static int linked(int from_at, const char *from, int to_at, const char *to, int flags)
{
    ready();
    if (!is_inside(to))
        return real_linkat(from_at, from, to_at, to, flags);
    if (refused(class_of(to)))
        return -1;
    pthread_mutex_lock(&lock);
    int result = real_linkat(from_at, from, to_at, to, flags), error = errno;
    if (result == 0)
        append(LINK, 0, 0, from, to, strlen(to));
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int link(const char *from, const char *to) { return linked(AT_FDCWD, from, AT_FDCWD, to, 0); }

int linkat(int from_at, const char *from, int to_at, const char *to, int flags)
{
    return linked(from_at, from, to_at, to, flags);
}

int mkdir(const char *path, mode_t mode)
{
    ready();
    if (!is_inside(path))
        return real_mkdir(path, mode);
    if (refused(OTHER))
        return -1;
    struct stat status;
    pthread_mutex_lock(&lock);
    int result = real_mkdir(path, mode), error = errno;
    if (result == 0 && stat(path, &status) == 0)
        append(MKDIR, status.st_ino, 0, path, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

/* What nobody here uses. Should that change, the record says so, instead of being wrong without a word. */
static void unknown(int fd, const char *name)
{
    int class;
    if (ours(fd, &class)) {
        pthread_mutex_lock(&lock);
        append(UNKNOWN, 0, 0, name, NULL, 0);
        pthread_mutex_unlock(&lock);
    }
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    unknown(fd, "fallocate");
    return real_fallocate(fd, mode, offset, size);
}

int fallocate64(int fd, int mode, off_t offset, off_t size) { return fallocate(fd, mode, offset, size); }

int posix_fallocate(int fd, off_t offset, off_t size)
{
    unknown(fd, "posix_fallocate");
    return real_fallocate(fd, 0, offset, size) ? errno : 0;
}

int posix_fallocate64(int fd, off_t offset, off_t size) { return posix_fallocate(fd, offset, size); }

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    return count < 1 ? 0 : written(fd, parts->iov_base, parts->iov_len, offset);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset)
{
    return pwritev(fd, parts, count, offset);
}
