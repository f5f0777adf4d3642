/* The server of the limit: one process, one consumer; computes, replies, then acks.

     server --queue NAME [--prefetch N] [--function fib|busy|echo] [--wire json|bare]

   What it answers:
     json   {"jsonrpc":"2.0","id":"7","method":"fib","params":[30]} by {"jsonrpc":"2.0","id":"7","result":832040};
            it looks for the id and the parameter only, which is less than any real server may do
     bare   30 by 832040, as in RabbitMQ's tutorial
     echo   by the body as it came, on either wire
   Runs until a signal ends it. */

#include "common.h"

#include <inttypes.h>
#include <stdint.h>

#define MAX_BODY_TEXT 1024

enum function { FIB, BUSY, ECHO };

static enum function function;
static int bare;

static uint64_t fib(long n) {
    uint64_t this = 0, next = 1;

    while (n-- > 0) {
        uint64_t after = this + next;
        this = next;
        next = after;
    }
    return this;
}

/* Use the CPU for some seconds. */
static double busy(double seconds) {
    double end = now() + seconds;

    while (now() < end) {
    }
    return seconds;
}

/* The text between `from` and the next `until`; its length, or -1. */
static int between(const char *text, const char *from, char until, const char **start) {
    const char *begin = strstr(text, from), *end;

    if (begin == NULL) {
        return -1;
    }
    begin += strlen(from);
    end = strchr(begin, until);
    if (end == NULL) {
        return -1;
    }
    *start = begin;
    return (int)(end - begin);
}

static int compute(const char *argument, char *text, size_t room) {
    if (function == FIB) {
        return snprintf(text, room, "%" PRIu64, fib(strtol(argument, NULL, 10)));
    }
    return snprintf(text, room, "%.17g", busy(strtod(argument, NULL)));
}

/* The reply to a request, in `buffer`, or the request's own bytes. */
static amqp_bytes_t answer(amqp_bytes_t body, char *buffer, size_t room) {
    char text[MAX_BODY_TEXT], result[64];
    const char *id, *argument;
    int length, id_length;

    if (function == ECHO) {
        return body;
    }
    if (body.len >= sizeof text) {
        fail("a request is too long");
    }
    memcpy(text, body.bytes, body.len);
    text[body.len] = '\0';
    if (bare) {
        length = compute(text, buffer, room);
    } else {
        id_length = between(text, "\"id\":\"", '"', &id);
        if (id_length < 0 || between(text, "\"params\":[", ']', &argument) < 0) {
            fail("a request is none");
        }
        compute(argument, result, sizeof result);
        length = snprintf(buffer, room, "{\"jsonrpc\":\"2.0\",\"id\":\"%.*s\",\"result\":%s}", id_length, id, result);
    }
    return (amqp_bytes_t){.len = (size_t)length, .bytes = buffer};
}

static void serve(amqp_connection_state_t connection) {
    char buffer[MAX_BODY_TEXT];

    for (;;) {
        amqp_envelope_t request;
        amqp_basic_properties_t properties;

        amqp_maybe_release_buffers(connection);
        check_reply(amqp_consume_message(connection, &request, NULL, 0), "waiting for a request");
        memset(&properties, 0, sizeof properties);
        properties._flags = AMQP_BASIC_CORRELATION_ID_FLAG;
        properties.correlation_id = request.message.properties.correlation_id;
        if (!bare) {
            properties._flags |= AMQP_BASIC_CONTENT_TYPE_FLAG;
            properties.content_type = amqp_cstring_bytes("application/json");
        }
        check(amqp_basic_publish(connection, CHANNEL, amqp_empty_bytes, request.message.properties.reply_to, 0, 0,
                                 &properties, answer(request.message.body, buffer, sizeof buffer)),
              "replying");
        check(amqp_basic_ack(connection, CHANNEL, request.delivery_tag, 0), "acking");
        amqp_destroy_envelope(&request);
    }
}

int main(int argc, char **argv) {
    const char *queue = option(argc, argv, "queue", NULL);
    const char *name = option(argc, argv, "function", "fib");
    int prefetch = atoi(option(argc, argv, "prefetch", "1"));
    amqp_connection_state_t connection;

    program = "limit server";
    bare = strcmp(option(argc, argv, "wire", "json"), "bare") == 0;
    function = strcmp(name, "echo") == 0 ? ECHO : strcmp(name, "busy") == 0 ? BUSY : FIB;
    if (queue == NULL) {
        fail("--queue is missing");
    }
    connection = open_connection();
    amqp_queue_declare(connection, CHANNEL, amqp_cstring_bytes(queue), 0, 1, 0, 0, amqp_empty_table);
    check_reply(amqp_get_rpc_reply(connection), "declaring the queue");
    amqp_basic_qos(connection, CHANNEL, 0, (uint16_t)prefetch, 0);
    check_reply(amqp_get_rpc_reply(connection), "setting the prefetch count");
    amqp_basic_consume(connection, CHANNEL, amqp_cstring_bytes(queue), amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
    check_reply(amqp_get_rpc_reply(connection), "consuming");
    serve(connection);
    return 0;
}
