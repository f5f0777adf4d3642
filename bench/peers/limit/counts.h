/* How much of one-way work is done: files that processes share, as counts.py has them. */

#ifndef BENCH_LIMIT_COUNTS_H
#define BENCH_LIMIT_COUNTS_H

#include "common.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_PATH_TEXT 4096

static inline const char *counts_folder(void) {
    const char *folder = getenv("RPCSVC_BENCH_COUNTS");

    if (folder == NULL) {
        fail("RPCSVC_BENCH_COUNTS is not set");
    }
    return folder;
}

static inline volatile uint64_t *map_counts(const char *path, long slots) {
    int file = open(path, O_RDWR | O_CREAT, 0600);
    void *numbers;

    if (file < 0 || ftruncate(file, slots * (long)sizeof(uint64_t)) < 0) {
        fail("the file of counts cannot be made");
    }
    numbers = mmap(NULL, (size_t)slots * sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (numbers == MAP_FAILED) {
        fail("the file of counts cannot be mapped");
    }
    close(file);
    return numbers;
}

/* The numbers of this process, all 0. */
static inline volatile uint64_t *new_counts(long slots) {
    char hidden[MAX_PATH_TEXT], path[MAX_PATH_TEXT];
    volatile uint64_t *numbers;

    snprintf(hidden, sizeof hidden, "%s/.%d", counts_folder(), (int)getpid());
    snprintf(path, sizeof path, "%s/%d", counts_folder(), (int)getpid());
    numbers = map_counts(hidden, slots);
    rename(hidden, path); /* whoever sees it sees all of it */
    return numbers;
}

/* The numbers of the one other process that has any, when it has them. */
static inline volatile uint64_t *others_counts(long slots) {
    char path[MAX_PATH_TEXT] = "";
    double end = now() + 30;

    while (path[0] == '\0') {
        DIR *folder = opendir(counts_folder());
        struct dirent *entry;

        while (folder != NULL && (entry = readdir(folder)) != NULL) {
            if (entry->d_name[0] != '.') {
                snprintf(path, sizeof path, "%s/%s", counts_folder(), entry->d_name);
            }
        }
        if (folder != NULL) {
            closedir(folder);
        }
        if (now() > end) {
            fail("no subscriber is there");
        }
        usleep(1000);
    }
    return map_counts(path, slots);
}

#endif
