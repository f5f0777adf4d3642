/* The publisher of the limit: persistent casts to a queue, or events to an exchange, confirmed by the broker.

     publisher --queue NAME --type quorum|classic --window N [--warm-up SECONDS] (--seconds SECONDS | --calls N)
     publisher --exchange NAME --key KEY --subscribers N --window N [--warm-up SECONDS] --seconds SECONDS

   --window is how many may be unconfirmed at a time: 1 is one by one. Events keep to the pace of the slowest subscriber,
   as load_one_way.py has it. Prints and waits as client.c does; with --calls it prints nothing. */

#include "counts.h"

#define AHEAD 500 /* events that may be published and not heard by every subscriber */
#define MAX_TEXT 512

struct load {
    amqp_connection_state_t connection;
    amqp_bytes_t exchange, key, body;
    amqp_basic_properties_t properties;
    int mandatory;
    uint64_t window, published, settled; /* settled: all up to this tag are */
    uint64_t unconfirmed;
    char *is_settled; /* by tag modulo twice the window */
    long subscribers;
    volatile uint64_t *heard;
    uint64_t all_heard;
};

static void publish(struct load *load) {
    char id[37]; /* ids that differ cost as much as ours; nobody looks at them */

    snprintf(id, sizeof id, "%08x-0000-4000-8000-%012x", (unsigned)load->published, (unsigned)getpid());
    load->properties.message_id = amqp_cstring_bytes(id);
    check(amqp_basic_publish(load->connection, CHANNEL, load->exchange, load->key, load->mandatory, 0,
                             &load->properties, load->body),
          "publishing");
    load->published++;
    load->unconfirmed++;
    load->is_settled[load->published % (2 * load->window)] = 0;
}

static void settle(struct load *load, uint64_t tag, int multiple) {
    uint64_t first = multiple ? load->settled + 1 : tag;

    for (uint64_t each = first; each <= tag; each++) {
        char *is_settled = &load->is_settled[each % (2 * load->window)];

        load->unconfirmed -= !*is_settled;
        *is_settled = 1;
    }
    while (load->settled < load->published && load->is_settled[(load->settled + 1) % (2 * load->window)]) {
        load->settled++;
    }
}

/* Read confirms until at most so many messages are without. */
static void confirm(struct load *load, uint64_t left) {
    while (load->unconfirmed > left || load->published - load->settled > left + load->window / 2) {
        amqp_frame_t frame;

        amqp_maybe_release_buffers(load->connection);
        check(amqp_simple_wait_frame(load->connection, &frame), "waiting for a confirm");
        if (frame.frame_type == AMQP_FRAME_METHOD && frame.payload.method.id == AMQP_BASIC_ACK_METHOD) {
            amqp_basic_ack_t *ack = frame.payload.method.decoded;

            settle(load, ack->delivery_tag, ack->multiple);
        } else {
            fail("the broker did not confirm a message");
        }
    }
}

/* What the slowest subscriber has heard. */
static uint64_t least_heard(const struct load *load) {
    uint64_t least = load->heard[0];

    for (long each = 1; each < load->subscribers; each++) {
        least = load->heard[each] < least ? load->heard[each] : least;
    }
    return least;
}

static int may_publish(struct load *load) {
    if (load->subscribers > 0 && load->published - load->all_heard >= AHEAD) {
        load->all_heard = least_heard(load);
        return load->published - load->all_heard < AHEAD;
    }
    return 1;
}

static void run(struct load *load, double seconds, uint64_t calls) {
    double end = now() + seconds;

    while (calls > 0 ? load->published < calls : now() < end) {
        if (!may_publish(load)) {
            usleep(1000);
            continue;
        }
        publish(load);
        if (load->unconfirmed >= load->window) {
            confirm(load, load->window / 2);
        }
    }
    confirm(load, 0);
}

static uint64_t done(const struct load *load) {
    return load->subscribers > 0 ? least_heard(load) : load->published;
}

static void measure(struct load *load, double warm_up, double seconds) {
    double started, used;
    uint64_t before;

    run(load, warm_up, 0);
    printf("@bench begin\n");
    wait_for_reader();
    before = done(load);
    started = now();
    used = cpu();
    run(load, seconds, 0);
    used = cpu() - used;
    started = now() - started;
    printf("@bench end {\"calls\": %" PRIu64 ", \"seconds\": %.9f, \"cpu\": %.9f}\n", done(load) - before, started, used);
    wait_for_reader();
}

static void to_queue(struct load *load, const char *queue, const char *type) {
    amqp_table_entry_t entry = {.key = amqp_cstring_bytes("x-queue-type"),
                                .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(type)}};
    amqp_table_t arguments = {.num_entries = 1, .entries = &entry};

    load->exchange = amqp_empty_bytes;
    load->key = amqp_cstring_bytes(queue);
    load->body = amqp_cstring_bytes("{\"jsonrpc\":\"2.0\",\"method\":\"counted\",\"params\":[30]}");
    load->mandatory = 1;
    load->properties._flags |= AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_TYPE_FLAG;
    load->properties.delivery_mode = 2;
    load->properties.type = amqp_cstring_bytes("counted");
    amqp_queue_declare(load->connection, CHANNEL, load->key, 0, 1, 0, 0, arguments);
    check_reply(amqp_get_rpc_reply(load->connection), "declaring the queue");
}

static void to_exchange(struct load *load, const char *exchange, const char *key) {
    load->exchange = amqp_cstring_bytes(exchange);
    load->key = amqp_cstring_bytes(key);
    load->body = amqp_cstring_bytes("{\"user\":12345,\"action\":\"view\",\"page\":\"/index.html\"}");
    load->heard = others_counts(load->subscribers);
}

int main(int argc, char **argv) {
    struct load load;
    const char *queue = option(argc, argv, "queue", NULL);
    const char *exchange = option(argc, argv, "exchange", NULL);
    uint64_t calls = (uint64_t)atol(option(argc, argv, "calls", "0"));

    program = "limit publisher";
    memset(&load, 0, sizeof load);
    load.window = (uint64_t)atol(option(argc, argv, "window", "1"));
    load.subscribers = atol(option(argc, argv, "subscribers", "0"));
    load.is_settled = malloc(2 * load.window);
    if ((queue == NULL) == (exchange == NULL) || load.window < 1 || load.is_settled == NULL) {
        fail("--queue or --exchange is missing, or --window is not a number from 1");
    }
    load.properties._flags =
        AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_TIMESTAMP_FLAG;
    load.properties.content_type = amqp_cstring_bytes("application/json");
    load.properties.timestamp = (uint64_t)time(NULL);
    load.connection = open_connection();
    if (queue != NULL) {
        to_queue(&load, queue, option(argc, argv, "type", "quorum"));
    } else {
        to_exchange(&load, exchange, option(argc, argv, "key", "bench.event"));
    }
    amqp_confirm_select(load.connection, CHANNEL);
    check_reply(amqp_get_rpc_reply(load.connection), "asking for confirms");
    if (calls > 0) {
        run(&load, 0, calls);
    } else {
        measure(&load, atof(option(argc, argv, "warm-up", "0.3")), atof(option(argc, argv, "seconds", "2.5")));
    }
    amqp_connection_close(load.connection, AMQP_REPLY_SUCCESS);
    return 0;
}
