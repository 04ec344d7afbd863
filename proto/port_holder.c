/* Who listens on a local TCP port: the kernel's socket table gives an inode, /proc its owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/rpc.h"

enum {
    STATE_LISTEN = 0x0a,
    LINE_BYTES = 512,
    PATH_BYTES = 64,
    LINK_BYTES = 64,
    COMMAND_BYTES = 256
};

/* Inode of the socket that listens on port, 0 if the table has none. A line is
 * `0: 0100007F:08AE 00000000:0000 0A tx:rx tr:when retrnsmt uid timeout inode ...`, hexadecimal. */
static unsigned long find_inode(const char *table, int port)
{
    FILE *file = fopen(table, "re");
    if (file == NULL) { return 0; }
    char line[LINE_BYTES];
    unsigned long inode = 0;
    while (inode == 0 && fgets(line, sizeof line, file) != NULL) {
        unsigned local_port, state;
        unsigned long candidate;
        if (sscanf(line, " %*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*u %*u %lu",
                   &local_port, &state, &candidate) == 3 &&
            state == STATE_LISTEN && local_port == (unsigned)port) {
            inode = candidate;
        }
    }
    fclose(file);
    return inode;
}

/* Whether one of the process's file descriptors is the socket. */
static bool holds(const char *pid, const char *socket)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "/proc/%.20s/fd", pid);
    DIR *fds = opendir(path);
    if (fds == NULL) { return false; } /* another user's process, or gone */
    bool found = false;
    const struct dirent *entry;
    while (!found && (entry = readdir(fds)) != NULL) {
        char link[LINK_BYTES];
        ssize_t size = readlinkat(dirfd(fds), entry->d_name, link, sizeof link - 1);
        if (size <= 0) { continue; }
        link[size] = '\0';
        found = strcmp(link, socket) == 0;
    }
    closedir(fds);
    return found;
}

/* "paramd ps ..." of "/usr/bin/paramd\0ps\0--port=1\0": the program, its first argument, and a
 * mark that there are more. */
static void describe(const char *pid, char *text, size_t size)
{
    char path[PATH_BYTES];
    char command[COMMAND_BYTES] = "";
    snprintf(path, sizeof path, "/proc/%.20s/cmdline", pid);
    FILE *file = fopen(path, "re");
    size_t length = 0;
    if (file != NULL) {
        length = fread(command, 1, sizeof command - 1, file);
        fclose(file);
    }
    command[length] = '\0';

    const char *slash = strrchr(command, '/');
    const char *program = slash == NULL ? command : slash + 1;
    size_t next = strlen(command) + 1;
    const char *argument = next < length ? command + next : "";
    size_t after = next + strlen(argument) + 1;
    snprintf(text, size, "pid %s (%s%s%s%s)", pid, program[0] == '\0' ? "?" : program,
             argument[0] == '\0' ? "" : " ", argument, after < length ? " ..." : "");
}

const char *ps_port_holder(int port, char *text, size_t size)
{
    text[0] = '\0';
    unsigned long inode = find_inode("/proc/net/tcp", port);
    if (inode == 0) { inode = find_inode("/proc/net/tcp6", port); }
    DIR *processes = inode == 0 ? NULL : opendir("/proc");
    if (processes == NULL) { return text; }

    char socket[LINK_BYTES];
    snprintf(socket, sizeof socket, "socket:[%lu]", inode);
    const struct dirent *entry;
    while (text[0] == '\0' && (entry = readdir(processes)) != NULL) {
        if (!isdigit((unsigned char)entry->d_name[0])) { continue; }
        if (holds(entry->d_name, socket)) { describe(entry->d_name, text, size); }
    }
    closedir(processes);
    return text;
}
