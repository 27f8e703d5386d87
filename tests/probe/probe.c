/*
 * The probe: a static program that end-to-end tests run inside containers. Its arguments are actions, separated
 * by the argument ",": they are carried out one after another. An action that cannot be done ends it with status 3.
 *
 *   report             print one line of JSON: what this process is and sees
 *   print TEXT         print a line
 *   warn TEXT          print a line on standard error
 *   append FILE        append a line: MESOS_TASK_ID, pid, monotonic nanoseconds
 *   write FILE TEXT    make a file
 *   read FILE          wait until the file is there, print it
 *   listen PORT        serve "hello" on 127.0.0.1 from a child process, go on at once
 *   connect PORT       wait until 127.0.0.1 answers, print the answer
 *   ipc-create KEY     make a System V shared memory segment
 *   ipc-see KEY        wait until the segment is there, print what is in it
 *   hold               wait for SIGTERM, then exit with status 0
 *   ignore-term        ignore SIGTERM and wait for ever
 *   exit N             exit with a status
 *   pin CPU            run on one cpu only
 *   busy               use a cpu for ever
 *   allocate MIB       use so much memory, and keep it
 *   child-allocate MIB a child process does
 *   fork N             have so many children more; print how many came to be, fail if not all
 *   open FILE          open a file or device for reading, print "FILE: " and "ok" or what is wrong
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* How often what others do is looked at, and how many times before giving up: 20 seconds in all. */
static const struct timespec PAUSE = {0, 20 * 1000 * 1000};
enum { ATTEMPTS = 1000 };

static void fail(const char *what)
{
    fprintf(stderr, "probe: %s: %s\n", what, strerror(errno));
    exit(3);
}

static void text(const char *s)
{
    putchar('"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void member(const char *name)
{
    putchar(',');
    text(name);
    putchar(':');
}

static char *slurp(const char *path)
{
    static char buffer[1 << 18];
    size_t length = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    for (;;) {
        ssize_t n = read(fd, buffer + length, sizeof buffer - 1 - length);
        if (n <= 0)
            break;
        length += (size_t)n;
    }
    close(fd);
    buffer[length] = 0;
    return buffer;
}

static void file_member(const char *name, const char *path)
{
    char *content = slurp(path);
    member(name);
    if (content)
        text(content);
    else
        printf("null");
}

static void link_object(const char *name, const char *directory)
{
    const char *comma = "";
    DIR *dir = opendir(directory);
    struct dirent *entry;
    member(name);
    putchar('{');
    while (dir && (entry = readdir(dir))) {
        char path[PATH_MAX], target[PATH_MAX];
        ssize_t n;
        if (entry->d_name[0] == '.')
            continue;
        /* The descriptor by which the directory itself is read. */
        if (strcmp(directory, "/proc/self/fd") == 0 && atoi(entry->d_name) == dirfd(dir))
            continue;
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        n = readlink(path, target, sizeof target - 1);
        if (n < 0)
            continue;
        target[n] = 0;
        printf("%s", comma);
        comma = ",";
        text(entry->d_name);
        putchar(':');
        text(target);
    }
    putchar('}');
    if (dir)
        closedir(dir);
}

static void status_object(void)
{
    char *content = slurp("/proc/self/status");
    const char *comma = "";
    member("status");
    putchar('{');
    for (char *line = content ? strtok(content, "\n") : NULL; line; line = strtok(NULL, "\n")) {
        char *colon = strchr(line, ':');
        if (!colon)
            continue;
        *colon++ = 0;
        while (*colon == ' ' || *colon == '\t')
            colon++;
        printf("%s", comma);
        comma = ",";
        text(line);
        putchar(':');
        text(colon);
    }
    putchar('}');
}

/* "missing", "denied", "empty" or "readable". */
static const char *readability(const char *path)
{
    struct stat st;
    char byte;
    if (stat(path, &st) < 0)
        return errno == ENOENT ? "missing" : "denied";
    if (S_ISDIR(st.st_mode)) {
        DIR *dir = opendir(path);
        int count = 0;
        if (!dir)
            return "denied";
        for (struct dirent *e; (e = readdir(dir));)
            count += e->d_name[0] != '.';
        closedir(dir);
        return count ? "readable" : "empty";
    }
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return "denied";
    ssize_t n = read(fd, &byte, 1);
    close(fd);
    return n > 0 ? "readable" : n == 0 ? "empty" : "denied";
}

static void masked_object(void)
{
    static const char *const paths[] = {
        "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
        "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    };
    member("masked");
    putchar('{');
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (i)
            putchar(',');
        text(paths[i]);
        putchar(':');
        text(readability(paths[i]));
    }
    putchar('}');
    member("proc_sys_writable");
    int fd = open("/proc/sys/kernel/domainname", O_WRONLY | O_CLOEXEC);
    printf("%s", fd >= 0 ? "true" : "false");
    if (fd >= 0)
        close(fd);
}

static void rlimits_object(void)
{
    static const struct { const char *name; int resource; } limits[] = {
        {"core", RLIMIT_CORE}, {"nofile", RLIMIT_NOFILE}, {"nproc", RLIMIT_NPROC},
        {"memlock", RLIMIT_MEMLOCK}, {"stack", RLIMIT_STACK},
    };
    member("rlimits");
    putchar('{');
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct rlimit limit;
        getrlimit((__rlimit_resource_t)limits[i].resource, &limit);
        printf("%s\"%s\":[%lld,%lld]", i ? "," : "", limits[i].name, (long long)limit.rlim_cur,
               (long long)limit.rlim_max);
    }
    putchar('}');
}

static void report(void)
{
    char buffer[PATH_MAX];
    gid_t groups[64];
    int count = getgroups(64, groups);
    printf("{\"pid\":%d,\"ppid\":%d,\"sid\":%d,\"pgid\":%d", getpid(), getppid(), getsid(0), getpgid(0));
    printf(",\"uid\":%d,\"euid\":%d,\"gid\":%d,\"egid\":%d", getuid(), geteuid(), getgid(), getegid());
    member("groups");
    putchar('[');
    for (int i = 0; i < count; i++)
        printf("%s%d", i ? "," : "", groups[i]);
    putchar(']');
    member("session_keyring");
    long keyring = syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -3 /* the session's */, 0);
    printf("%ld", keyring < 0 ? -(long)errno : keyring);
    status_object();
    link_object("namespaces", "/proc/self/ns");
    link_object("fds", "/proc/self/fd");
    masked_object();
    rlimits_object();
    file_member("cgroup", "/proc/self/cgroup");
    file_member("mountinfo", "/proc/self/mountinfo");
    file_member("oom_score_adj", "/proc/self/oom_score_adj");
    member("hostname");
    gethostname(buffer, sizeof buffer);
    text(buffer);
    member("cwd");
    text(getcwd(buffer, sizeof buffer) ? buffer : "");
    member("env");
    putchar('[');
    for (char **e = environ; *e; e++) {
        if (e != environ)
            putchar(',');
        text(*e);
    }
    printf("]}\n");
}

static void append(const char *path)
{
    char line[512];
    struct timespec now;
    const char *task = getenv("MESOS_TASK_ID");
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        fail(path);
    clock_gettime(CLOCK_MONOTONIC, &now);
    int n = snprintf(line, sizeof line, "%s %d %lld\n", task ? task : "-", getpid(),
                     now.tv_sec * 1000000000LL + now.tv_nsec);
    if (write(fd, line, (size_t)n) != n)
        fail(path);
    close(fd);
}

static void write_file(const char *path, const char *content)
{
    char temporary[PATH_MAX];
    snprintf(temporary, sizeof temporary, "%s.new", path);
    FILE *file = fopen(temporary, "w");
    if (!file || fputs(content, file) < 0 || fclose(file) != 0 || rename(temporary, path) != 0)
        fail(path);
}

static void read_file(const char *path)
{
    for (int i = 0; i < ATTEMPTS; i++) {
        char *content = slurp(path);
        if (content) {
            printf("%s\n", content);
            return;
        }
        nanosleep(&PAUSE, NULL);
    }
    fail(path);
}

static struct sockaddr_in loopback(const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static void listen_on(const char *port)
{
    struct sockaddr_in address = loopback(port);
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0)
        fail("socket");
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 8) < 0)
        fail("listen");
    fflush(stdout);
    if (fork() != 0)
        return;
    for (;;) {
        int peer = accept(listener, NULL, NULL);
        if (peer >= 0) {
            (void)!write(peer, "hello", 5);
            close(peer);
        }
    }
}

static void connect_to(const char *port)
{
    struct sockaddr_in address = loopback(port);
    for (int i = 0; i < ATTEMPTS; i++) {
        char answer[64];
        int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(peer, (struct sockaddr *)&address, sizeof address) == 0) {
            ssize_t n = read(peer, answer, sizeof answer - 1);
            if (n > 0) {
                answer[n] = 0;
                printf("%s\n", answer);
                close(peer);
                return;
            }
        }
        close(peer);
        nanosleep(&PAUSE, NULL);
    }
    fail("connect");
}

static void ipc_create(const char *key)
{
    int id = shmget(atoi(key), 4096, IPC_CREAT | 0666);
    char *memory = id < 0 ? (char *)-1 : shmat(id, NULL, 0);
    if (memory == (char *)-1)
        fail("shared memory");
    strcpy(memory, "shared");
}

static void ipc_see(const char *key)
{
    for (int i = 0; i < ATTEMPTS; i++) {
        int id = shmget(atoi(key), 0, 0);
        char *memory = id < 0 ? (char *)-1 : shmat(id, NULL, SHM_RDONLY);
        if (memory != (char *)-1 && memory[0]) {
            printf("%s\n", memory);
            return;
        }
        nanosleep(&PAUSE, NULL);
    }
    fail("shared memory");
}

static void on_term(int signal)
{
    (void)signal;
    _exit(0);
}

static void hold(void)
{
    signal(SIGTERM, on_term);
    for (;;)
        pause();
}

static void ignore_term(void)
{
    signal(SIGTERM, SIG_IGN);
    printf("ignoring\n");
    fflush(stdout);
    for (;;)
        pause();
}

static void pin(const char *cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(atoi(cpu), &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        fail("pin");
}

static void busy(void)
{
    for (volatile unsigned long i = 0;; i++)
        ;
}

static void allocate(const char *mebibytes)
{
    size_t length = (size_t)atoi(mebibytes) << 20;
    char *memory = malloc(length);
    if (!memory)
        fail("allocate");
    for (size_t i = 0; i < length; i += 4096)
        ((volatile char *)memory)[i] = 1;
    printf("allocated\n");
}

static void child_allocate(const char *mebibytes)
{
    fflush(stdout);
    pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0) {
        allocate(mebibytes);
        pause();
    }
}

static void fork_many(const char *wanted)
{
    int count = 0;
    fflush(stdout);
    for (; count < atoi(wanted); count++) {
        pid_t child = fork();
        if (child < 0)
            break;
        if (child == 0)
            for (;;)
                pause();
    }
    printf("forked %d\n", count);
    fflush(stdout);
    if (count < atoi(wanted))
        fail("fork");
}

static void open_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    printf("%s: %s\n", path, fd < 0 ? strerror(errno) : "ok");
    if (fd >= 0)
        close(fd);
}

static char *argument(char ***action)
{
    if (!**action || strcmp(**action, ",") == 0) {
        fprintf(stderr, "probe: an argument is missing\n");
        exit(2);
    }
    return *(*action)++;
}

int main(int argc, char **argv)
{
    char **next = argv + 1;
    (void)argc;
    while (*next) {
        const char *verb = argument(&next);
        if (!strcmp(verb, "report"))
            report();
        else if (!strcmp(verb, "print"))
            printf("%s\n", argument(&next));
        else if (!strcmp(verb, "warn"))
            fprintf(stderr, "%s\n", argument(&next));
        else if (!strcmp(verb, "append"))
            append(argument(&next));
        else if (!strcmp(verb, "write")) {
            const char *path = argument(&next);
            write_file(path, argument(&next));
        } else if (!strcmp(verb, "read"))
            read_file(argument(&next));
        else if (!strcmp(verb, "listen"))
            listen_on(argument(&next));
        else if (!strcmp(verb, "connect"))
            connect_to(argument(&next));
        else if (!strcmp(verb, "ipc-create"))
            ipc_create(argument(&next));
        else if (!strcmp(verb, "ipc-see"))
            ipc_see(argument(&next));
        else if (!strcmp(verb, "hold")) {
            fflush(stdout);
            hold();
        } else if (!strcmp(verb, "ignore-term"))
            ignore_term();
        else if (!strcmp(verb, "exit"))
            exit(atoi(argument(&next)));
        else if (!strcmp(verb, "pin"))
            pin(argument(&next));
        else if (!strcmp(verb, "busy"))
            busy();
        else if (!strcmp(verb, "allocate"))
            allocate(argument(&next));
        else if (!strcmp(verb, "child-allocate"))
            child_allocate(argument(&next));
        else if (!strcmp(verb, "fork"))
            fork_many(argument(&next));
        else if (!strcmp(verb, "open"))
            open_file(argument(&next));
        else {
            fprintf(stderr, "probe: unknown action %s\n", verb);
            return 2;
        }
        fflush(stdout);
        if (*next)
            next++;
    }
    return 0;
}
