/* Bad weather on demand: preloaded into a daemon, makes chosen system calls fail, wait, or be the last ones.
 *
 * WEATHER names a file of rules, one a line, which is read again whenever it changes:
 *
 *     CALL PATH SKIP COUNT EFFECT
 *
 * CALL    open, write, pread, pwrite, ftruncate, fsync, fdatasync, rename, unlink, mkdir, rmdir, chmod, spawn, accept
 *         or clock
 * PATH    a part of the file's path (of the program's for spawn), its end if it ends in $; - for any. For accept and clock it does not count.
 * SKIP    so many matching calls pass before
 * COUNT   so many are hit; -1 for all that come
 * EFFECT  ENOSPC, EIO, EROFS, EMFILE, ENFILE, EAGAIN, ENOMEM or EINTR: the call fails with it
 *         delay:MS: the call is made after so many milliseconds
 *         hold: the call is made once there is no such rule any more
 *         kill: SIGKILL for this process, before the call
 *         shift:MS: what the wall clock is ahead (clock only)
 *
 * The same rules and calls give the same weather: nothing is random here. Every hit appends a line to WEATHER.hits.
 * What is called below libc (rustix, io_uring) does not pass here.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RULES 32

struct rule {
	char call[16];
	char path[96];
	long skip;
	long count;
	int error;
	long delay_ms;
	int hold;
	int kill;
	long long shift_ms;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct rule rules[RULES];
static int rule_count;
static struct timespec read_at;
static off_t read_size = -1;

static const struct {
	const char *name;
	int number;
} ERRORS[] = {
	{"ENOSPC", ENOSPC}, {"EIO", EIO},	{"EROFS", EROFS},   {"EMFILE", EMFILE},
	{"ENFILE", ENFILE}, {"EAGAIN", EAGAIN}, {"ENOMEM", ENOMEM}, {"EINTR", EINTR},
};

static void parse(char *line)
{
	struct rule rule = {0};
	char effect[32];
	if (rule_count == RULES || sscanf(line, "%15s %95s %ld %ld %31s", rule.call, rule.path, &rule.skip,
					  &rule.count, effect) != 5)
		return;
	for (size_t i = 0; i < sizeof ERRORS / sizeof *ERRORS; i++)
		if (!strcmp(effect, ERRORS[i].name))
			rule.error = ERRORS[i].number;
	sscanf(effect, "delay:%ld", &rule.delay_ms);
	sscanf(effect, "shift:%lld", &rule.shift_ms);
	rule.hold = !strcmp(effect, "hold");
	rule.kill = !strcmp(effect, "kill");
	rules[rule_count++] = rule;
}

/* Only by calls that do not pass here. */
static void refresh(const char *file)
{
	static char text[4096];
	struct stat now;
	if (syscall(SYS_newfstatat, AT_FDCWD, file, &now, 0)) {
		rule_count = 0;
		read_size = -1;
		return;
	}
	if (now.st_size == read_size && now.st_mtim.tv_sec == read_at.tv_sec &&
	    now.st_mtim.tv_nsec == read_at.tv_nsec)
		return;
	int fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	long length = syscall(SYS_read, fd, text, sizeof text - 1);
	syscall(SYS_close, fd);
	text[length < 0 ? 0 : length] = 0;
	read_at = now.st_mtim;
	read_size = now.st_size;
	rule_count = 0;
	char *rest = text, *line;
	while ((line = strsep(&rest, "\n")))
		parse(line);
}

static void note(const char *file, const char *call, const char *path)
{
	char name[512], line[512];
	snprintf(name, sizeof name, "%s.hits", file);
	int length = snprintf(line, sizeof line, "%s %s\n", call, path);
	int fd = (int)syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd >= 0) {
		syscall(SYS_write, fd, line, (size_t)(length < (int)sizeof line ? length : (int)sizeof line - 1));
		syscall(SYS_close, fd);
	}
}

static int matches(const struct rule *rule, const char *call, const char *path)
{
	size_t length = strlen(rule->path), whole = strlen(path);
	if (strcmp(rule->call, call))
		return 0;
	if (!strcmp(rule->path, "-"))
		return 1;
	if (rule->path[length - 1] != '$')
		return strstr(path, rule->path) != NULL;
	return whole >= length - 1 && !strncmp(path + whole - (length - 1), rule->path, length - 1);
}

/* Waits until no rule holds this call. */
static void wait_for_release(const char *file, const char *call, const char *path)
{
	struct timespec wait = {0, 5000000};
	for (int held = 1; held;) {
		syscall(SYS_nanosleep, &wait, NULL);
		pthread_mutex_lock(&lock);
		refresh(file);
		held = 0;
		for (int i = 0; i < rule_count; i++)
			held |= rules[i].hold && matches(&rules[i], call, path);
		pthread_mutex_unlock(&lock);
	}
}

/* What befalls this call: 0 to let it through, else the error number. */
static int befall(const char *call, const char *path)
{
	const char *file = getenv("WEATHER");
	int error = 0, hold = 0, before = errno;
	long delay_ms = 0;
	if (!file)
		return 0;
	pthread_mutex_lock(&lock);
	refresh(file);
	for (int i = 0; i < rule_count; i++) {
		struct rule *rule = &rules[i];
		if (!matches(rule, call, path))
			continue;
		if (rule->skip > 0) {
			rule->skip--;
			continue;
		}
		if (rule->count == 0)
			continue;
		if (rule->count > 0)
			rule->count--;
		error = rule->error;
		delay_ms = rule->delay_ms;
		hold = rule->hold;
		note(file, call, path);
		/* Under the lock: whoever changed the rules and was answered since knows that no death is still to come. */
		if (rule->kill)
			syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
		break;
	}
	pthread_mutex_unlock(&lock);
	if (delay_ms) {
		struct timespec wait = {delay_ms / 1000, delay_ms % 1000 * 1000000};
		while (syscall(SYS_nanosleep, &wait, &wait))
			;
	}
	if (hold)
		wait_for_release(file, call, path);
	errno = before;
	return error;
}

static int befall_fd(const char *call, int fd)
{
	char link[64], path[512];
	int before = errno;
	if (!getenv("WEATHER"))
		return 0;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
	path[length < 0 ? 0 : length] = 0;
	errno = before;
	return befall(call, path);
}

#define REAL(type, name, ...)                                                                                          \
	static type (*real)(__VA_ARGS__);                                                                              \
	if (!real)                                                                                                     \
		*(void **)&real = dlsym(RTLD_NEXT, name)

#define FAIL(error)                                                                                                    \
	do {                                                                                                           \
		int number = (error);                                                                                  \
		if (number) {                                                                                          \
			errno = number;                                                                                \
			return -1;                                                                                     \
		}                                                                                                      \
	} while (0)

int fsync(int fd)
{
	REAL(int, "fsync", int);
	FAIL(befall_fd("fsync", fd));
	return real(fd);
}

int fdatasync(int fd)
{
	REAL(int, "fdatasync", int);
	FAIL(befall_fd("fdatasync", fd));
	return real(fd);
}

ssize_t write(int fd, const void *bytes, size_t length)
{
	REAL(ssize_t, "write", int, const void *, size_t);
	FAIL(befall_fd("write", fd));
	return real(fd, bytes, length);
}

ssize_t pread64(int fd, void *bytes, size_t length, off64_t offset)
{
	REAL(ssize_t, "pread64", int, void *, size_t, off64_t);
	FAIL(befall_fd("pread", fd));
	return real(fd, bytes, length, offset);
}

ssize_t pread(int fd, void *bytes, size_t length, off_t offset)
{
	return pread64(fd, bytes, length, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset)
{
	REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
	FAIL(befall_fd("pwrite", fd));
	return real(fd, bytes, length, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
	return pwrite64(fd, bytes, length, offset);
}

int ftruncate64(int fd, off64_t length)
{
	REAL(int, "ftruncate64", int, off64_t);
	FAIL(befall_fd("ftruncate", fd));
	return real(fd, length);
}

int ftruncate(int fd, off_t length)
{
	return ftruncate64(fd, length);
}

int rename(const char *from, const char *to)
{
	REAL(int, "rename", const char *, const char *);
	FAIL(befall("rename", to));
	return real(from, to);
}

int unlink(const char *path)
{
	REAL(int, "unlink", const char *);
	FAIL(befall("unlink", path));
	return real(path);
}

int mkdir(const char *path, mode_t mode)
{
	REAL(int, "mkdir", const char *, mode_t);
	FAIL(befall("mkdir", path));
	return real(path, mode);
}

int rmdir(const char *path)
{
	REAL(int, "rmdir", const char *);
	FAIL(befall("rmdir", path));
	return real(path);
}

int chmod(const char *path, mode_t mode)
{
	REAL(int, "chmod", const char *, mode_t);
	FAIL(befall("chmod", path));
	return real(path, mode);
}

/* Gives the error number itself. */
int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
		const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[])
{
	REAL(int, "posix_spawn", pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
	     char *const[], char *const[]);
	int error = befall("spawn", path);
	return error ? error : real(pid, path, actions, attributes, arguments, environment);
}

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
	REAL(int, "accept4", int, struct sockaddr *, socklen_t *, int);
	FAIL(befall("accept", ""));
	return real(fd, address, length, flags);
}

static mode_t mode_of(int flags, va_list *rest)
{
	return flags & (O_CREAT | O_TMPFILE) ? va_arg(*rest, mode_t) : 0;
}

int open64(const char *path, int flags, ...)
{
	REAL(int, "open64", const char *, int, ...);
	va_list rest;
	va_start(rest, flags);
	mode_t mode = mode_of(flags, &rest);
	va_end(rest);
	FAIL(befall("open", path));
	return real(path, flags, mode);
}

int open(const char *path, int flags, ...)
{
	va_list rest;
	va_start(rest, flags);
	mode_t mode = mode_of(flags, &rest);
	va_end(rest);
	return open64(path, flags, mode);
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
	REAL(int, "clock_gettime", clockid_t, struct timespec *);
	int result = real(clock, time);
	const char *file = getenv("WEATHER");
	if (result || !file || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
		return result;
	int before = errno;
	long long shift_ms = 0;
	pthread_mutex_lock(&lock);
	refresh(file);
	for (int i = 0; i < rule_count; i++)
		if (!strcmp(rules[i].call, "clock"))
			shift_ms += rules[i].shift_ms;
	pthread_mutex_unlock(&lock);
	time->tv_sec += shift_ms / 1000;
	errno = before;
	return result;
}
