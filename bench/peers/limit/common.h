/* What the programs of the limit share: the connection, how they end when something fails, how clients are measured. */

#ifndef BENCH_LIMIT_COMMON_H
#define BENCH_LIMIT_COMMON_H

#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define CHANNEL 1
#define FRAME_MAX 131072 /* what RabbitMQ proposes, and what every Python peer takes */

static const char *program = "limit";

static inline void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", program, what);
    exit(1);
}

/* A call of librabbitmq that returns a status. */
static inline void check(int status, const char *what) {
    if (status < 0) {
        fprintf(stderr, "%s: %s: %s\n", program, what, amqp_error_string2(status));
        exit(1);
    }
}

/* A call that waits for the broker's answer. */
static inline void check_reply(amqp_rpc_reply_t reply, const char *what) {
    if (reply.reply_type == AMQP_RESPONSE_NORMAL) {
        return;
    }
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION) {
        fprintf(stderr, "%s: %s: %s\n", program, what, amqp_error_string2(reply.library_error));
    } else {
        fprintf(stderr, "%s: %s: the broker refused (method 0x%08X)\n", program, what, reply.reply.id);
    }
    exit(1);
}

/* Connect to the broker of RPCSVC_URL (an argument would be seen by everybody) and open one channel.
   librabbitmq sets TCP_NODELAY by itself. */
static inline amqp_connection_state_t open_connection(void) {
    const char *variable = getenv("RPCSVC_URL");
    struct amqp_connection_info url;
    amqp_connection_state_t connection = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(connection);

    if (variable == NULL) {
        fail("RPCSVC_URL is not set");
    }
    if (socket == NULL) {
        fail("no memory for a socket");
    }
    check(amqp_parse_url(strdup(variable), &url), "RPCSVC_URL");
    if (url.vhost[0] == '\0') {
        url.vhost = "/"; /* "amqp://host/", which every Python library takes for the default vhost */
    }
    check(amqp_socket_open(socket, url.host, url.port), "connecting");
    check_reply(amqp_login(connection, url.vhost, 1, FRAME_MAX, 0, AMQP_SASL_METHOD_PLAIN, url.user, url.password),
                "logging in");
    amqp_channel_open(connection, CHANNEL);
    check_reply(amqp_get_rpc_reply(connection), "opening a channel");
    return connection;
}

static inline double now(void) { /* seconds, monotonic */
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline double cpu(void) { /* seconds of this process */
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static inline void wait_for_reader(void) {
    char line[8];

    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL) {
        return; /* nobody reads: run by hand */
    }
}

/* The value after "--NAME", or `otherwise`. */
static inline const char *option(int argc, char **argv, const char *name, const char *otherwise) {
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strncmp(argv[i], "--", 2) == 0 && strcmp(argv[i] + 2, name) == 0) {
            return argv[i + 1];
        }
    }
    return otherwise;
}

#endif
