/* The client of the limit: one process, one connection, a number of calls in flight, replies matched by correlation_id.

     client --queue NAME [--function fib|busy|echo] [--argument 30] [--expect 832040] [--wire json|bare]
            [--in-flight N] [--size BYTES] [--warm-up SECONDS] (--seconds SECONDS | --calls N)

   Every reply is compared with the one expected; a wrong one ends the program. Prints one line when the measurement
   begins and one when it ends:
     @bench begin
     @bench end {"calls": 12345, "seconds": 2.5, "cpu": 0.31}                        cpu: this process, in seconds
   After each of them it waits for a line, or the end, of its input: whoever reads may look at the other processes. */

#include "common.h"

#define MAX_TEXT 1024
#define MAX_ID 24

struct load {
    amqp_connection_state_t connection;
    amqp_bytes_t queue, callback_queue;
    const char *function, *argument, *expected;
    int bare, echo;
    long in_flight;
    amqp_bytes_t payload; /* what echo sends */
    long *calls;          /* the number of the call that waits in each place */
};

static void send_call(struct load *load, long number) {
    amqp_basic_properties_t properties;
    amqp_bytes_t body = load->payload;
    char id[MAX_ID], text[MAX_TEXT];

    snprintf(id, sizeof id, "%ld", number);
    memset(&properties, 0, sizeof properties);
    properties._flags = AMQP_BASIC_CORRELATION_ID_FLAG | AMQP_BASIC_REPLY_TO_FLAG;
    properties.correlation_id = amqp_cstring_bytes(id);
    properties.reply_to = load->callback_queue;
    if (load->bare) {
        snprintf(text, sizeof text, "%s", load->argument);
    } else {
        properties._flags |= AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_EXPIRATION_FLAG | AMQP_BASIC_TYPE_FLAG;
        properties.content_type = amqp_cstring_bytes("application/json");
        properties.expiration = amqp_cstring_bytes("30000");
        properties.type = amqp_cstring_bytes(load->function);
        snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"method\":\"%s\",\"params\":[%s]}", id,
                 load->function, load->argument);
    }
    if (!load->echo) {
        body = amqp_cstring_bytes(text);
    }
    check(amqp_basic_publish(load->connection, CHANNEL, amqp_empty_bytes, load->queue, !load->bare, 0, &properties,
                             body),
          "publishing");
}

static void check_result(struct load *load, long number, amqp_bytes_t body) {
    char text[MAX_TEXT];

    if (load->echo) {
        if (body.len != load->payload.len || memcmp(body.bytes, load->payload.bytes, body.len) != 0) {
            fail("an echo differs from what was sent");
        }
        return;
    }
    if (load->bare) {
        snprintf(text, sizeof text, "%s", load->expected);
    } else {
        snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":\"%ld\",\"result\":%s}", number, load->expected);
    }
    if (body.len != strlen(text) || memcmp(body.bytes, text, body.len) != 0) {
        fprintf(stderr, "expected %s, got %.*s\n", text, (int)body.len, (char *)body.bytes);
        fail("a wrong result");
    }
}

/* Wait for one reply, check it, free its place; return the number of the next call in that place. */
static long take_reply(struct load *load) {
    amqp_envelope_t reply;
    char id[MAX_ID] = "";
    long number, place;

    amqp_maybe_release_buffers(load->connection);
    check_reply(amqp_consume_message(load->connection, &reply, NULL, 0), "waiting for a reply");
    if (reply.message.properties.correlation_id.len >= sizeof id) {
        fail("a correlation_id is too long");
    }
    memcpy(id, reply.message.properties.correlation_id.bytes, reply.message.properties.correlation_id.len);
    number = strtol(id, NULL, 10);
    place = number % load->in_flight;
    if (place < 0 || load->calls[place] != number) {
        fail("a reply to no call");
    }
    check_result(load, number, reply.message.body);
    amqp_destroy_envelope(&reply);
    load->calls[place] = -1;
    return number + load->in_flight;
}

static void start_call(struct load *load, long number) {
    load->calls[number % load->in_flight] = number;
    send_call(load, number);
}

/* Keep the calls in flight for some seconds; how many ended. */
static long run_for(struct load *load, double seconds) {
    double end = now() + seconds;
    long done = 0;

    while (now() < end) {
        start_call(load, take_reply(load));
        done++;
    }
    return done;
}

static void end_waiting(struct load *load) {
    for (long place = 0; place < load->in_flight; place++) {
        take_reply(load);
    }
}

static void start_all(struct load *load) {
    for (long place = 0; place < load->in_flight; place++) {
        start_call(load, place);
    }
}

/* Exactly so many calls, from the first request to the last reply. */
static long run_calls(struct load *load, long calls) {
    long started = load->in_flight;

    if (calls < load->in_flight) {
        fail("--calls is less than --in-flight");
    }
    start_all(load);
    for (long done = 0; done < calls; done++) {
        long next = take_reply(load);

        if (started < calls) {
            start_call(load, next);
            started++;
        }
    }
    return calls;
}

static void measure(struct load *load, double warm_up, double seconds, long calls) {
    double started, used;

    start_all(load);
    run_for(load, warm_up);
    if (calls > 0) {
        end_waiting(load);
    }
    printf("@bench begin\n");
    wait_for_reader();
    started = now();
    used = cpu();
    calls = calls > 0 ? run_calls(load, calls) : run_for(load, seconds);
    used = cpu() - used;
    started = now() - started;
    printf("@bench end {\"calls\": %ld, \"seconds\": %.9f, \"cpu\": %.9f}\n", calls, started, used);
    wait_for_reader();
}

static void make_payload(struct load *load, size_t size) {
    unsigned char *bytes = malloc(size);

    if (bytes == NULL) {
        fail("no memory for the payload");
    }
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (unsigned char)i;
    }
    load->payload = (amqp_bytes_t){.len = size, .bytes = bytes};
}

int main(int argc, char **argv) {
    struct load load;
    const char *queue = option(argc, argv, "queue", NULL);
    long calls = atol(option(argc, argv, "calls", "0"));
    amqp_queue_declare_ok_t *declared;

    program = "limit client";
    memset(&load, 0, sizeof load);
    load.function = option(argc, argv, "function", "fib");
    load.argument = option(argc, argv, "argument", "30");
    load.expected = option(argc, argv, "expect", "832040");
    load.bare = strcmp(option(argc, argv, "wire", "json"), "bare") == 0;
    load.echo = strcmp(load.function, "echo") == 0;
    load.in_flight = atol(option(argc, argv, "in-flight", "1"));
    load.calls = malloc((size_t)load.in_flight * sizeof *load.calls);
    if (queue == NULL || load.in_flight < 1 || load.calls == NULL) {
        fail("--queue is missing, or --in-flight is not a number from 1");
    }
    make_payload(&load, (size_t)atol(option(argc, argv, "size", "1")));
    load.queue = amqp_cstring_bytes(queue);
    load.connection = open_connection();
    declared = amqp_queue_declare(load.connection, CHANNEL, amqp_empty_bytes, 0, 0, 1, 0, amqp_empty_table);
    check_reply(amqp_get_rpc_reply(load.connection), "declaring the callback queue");
    load.callback_queue = amqp_bytes_malloc_dup(declared->queue);
    amqp_basic_consume(load.connection, CHANNEL, load.callback_queue, amqp_empty_bytes, 0, 1, 1, amqp_empty_table);
    check_reply(amqp_get_rpc_reply(load.connection), "consuming replies");
    measure(&load, atof(option(argc, argv, "warm-up", "0.3")), atof(option(argc, argv, "seconds", "2.5")), calls);
    amqp_connection_close(load.connection, AMQP_REPLY_SUCCESS);
    return 0;
}
