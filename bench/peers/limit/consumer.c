/* The consumer of the limit: executes casts, or hears events for a number of subscribers; and counts.

     consumer --queue NAME [--prefetch N]                      look for the parameter, compute fib, count, then ack
     consumer --exchange NAME --pattern PATTERN --subscribers N    a queue for each; count by the one it came to

   Runs until a signal ends it. */

#include "counts.h"

static uint64_t fib(long n) {
    uint64_t this = 0, next = 1;

    while (n-- > 0) {
        uint64_t after = this + next;
        this = next;
        next = after;
    }
    return this;
}

static void next_message(amqp_connection_state_t connection, amqp_envelope_t *message) {
    amqp_maybe_release_buffers(connection);
    check_reply(amqp_consume_message(connection, message, NULL, 0), "waiting for a message");
}

static void consume(amqp_connection_state_t connection, amqp_bytes_t queue, const char *tag, int no_ack) {
    amqp_basic_consume(connection, CHANNEL, queue, amqp_cstring_bytes(tag), 0, no_ack, 0, amqp_empty_table);
    check_reply(amqp_get_rpc_reply(connection), "consuming");
}

static void execute(amqp_connection_state_t connection, const char *queue, int prefetch) {
    volatile uint64_t *counted = new_counts(1);
    volatile uint64_t result;

    amqp_basic_qos(connection, CHANNEL, 0, (uint16_t)prefetch, 0);
    check_reply(amqp_get_rpc_reply(connection), "setting the prefetch count");
    consume(connection, amqp_cstring_bytes(queue), "1", 0);
    for (;;) {
        amqp_envelope_t cast;
        char text[512], *argument;

        next_message(connection, &cast);
        if (cast.message.body.len >= sizeof text) {
            fail("a cast is too long");
        }
        memcpy(text, cast.message.body.bytes, cast.message.body.len);
        text[cast.message.body.len] = '\0';
        argument = strstr(text, "\"params\":[");
        if (argument == NULL) {
            fail("a cast is none");
        }
        result = fib(strtol(argument + strlen("\"params\":["), NULL, 10));
        (void)result;
        counted[0]++;
        check(amqp_basic_ack(connection, CHANNEL, cast.delivery_tag, 0), "acking");
        amqp_destroy_envelope(&cast);
    }
}

static void hear(amqp_connection_state_t connection, const char *exchange, const char *pattern, long subscribers) {
    volatile uint64_t *counted;

    amqp_exchange_declare(connection, CHANNEL, amqp_cstring_bytes(exchange), amqp_cstring_bytes("topic"), 0, 1, 0, 0,
                          amqp_empty_table);
    check_reply(amqp_get_rpc_reply(connection), "declaring the exchange");
    for (long each = 0; each < subscribers; each++) {
        amqp_queue_declare_ok_t *declared =
            amqp_queue_declare(connection, CHANNEL, amqp_empty_bytes, 0, 0, 1, 0, amqp_empty_table);
        amqp_bytes_t queue;
        char tag[24];

        check_reply(amqp_get_rpc_reply(connection), "declaring a subscriber's queue");
        queue = amqp_bytes_malloc_dup(declared->queue);
        amqp_queue_bind(connection, CHANNEL, queue, amqp_cstring_bytes(exchange), amqp_cstring_bytes(pattern),
                        amqp_empty_table);
        check_reply(amqp_get_rpc_reply(connection), "binding a subscriber's queue");
        snprintf(tag, sizeof tag, "%ld", each);
        consume(connection, queue, tag, 1);
        amqp_bytes_free(queue);
    }
    counted = new_counts(subscribers);
    for (;;) {
        amqp_envelope_t event;
        char tag[16] = "";

        next_message(connection, &event);
        memcpy(tag, event.consumer_tag.bytes, event.consumer_tag.len < 15 ? event.consumer_tag.len : 15);
        counted[atol(tag)]++;
        amqp_destroy_envelope(&event);
    }
}

int main(int argc, char **argv) {
    const char *queue = option(argc, argv, "queue", NULL);
    const char *exchange = option(argc, argv, "exchange", NULL);
    amqp_connection_state_t connection;

    program = "limit consumer";
    if ((queue == NULL) == (exchange == NULL)) {
        fail("--queue or --exchange is missing");
    }
    connection = open_connection();
    if (queue != NULL) {
        execute(connection, queue, atoi(option(argc, argv, "prefetch", "1")));
    } else {
        hear(connection, exchange, option(argc, argv, "pattern", "#"), atol(option(argc, argv, "subscribers", "1")));
    }
    return 0;
}
