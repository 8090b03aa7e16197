/* UdpDoor: a bound UDP socket, in batches; Client: where an answer goes.
 *
 * The GIL is kept: nothing here blocks, a batch is some tens of microseconds, and giving it up could cost a switch interval of 5 ms.
 */
#include "dns_python.h"

#include "udp.h"

typedef struct {
    PyObject_HEAD
    core_object *core;
    acl_object *list;
    udp_batch *batch;
    int fd;
    uint32_t dropped; /* the kernel's running count, as last seen */
} door_object;

static void client_dealloc(PyObject *object) { python_free(object); }

static PyType_Slot client_slots[] = {
    { Py_tp_doc, "Where an answer goes. Opaque." },
    { Py_tp_dealloc, client_dealloc },
    { 0, 0 },
};

PyType_Spec client_spec = {
    .name = "blockd.native._dns.Client",
    .basicsize = sizeof(client_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = client_slots,
};

static PyObject *door_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "core", "fd", "family", "acl", 0 };
    module_state *state = PyType_GetModuleState(type);
    PyObject *core, *list;
    core_object *checked;
    int fd, family;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OiiO:UdpDoor", names, &core, &fd, &family, &list) || !python_core(core, state, &checked)
        || !python_door(TRANSPORT_UDP, family))
        return 0;
    if (!Py_IS_TYPE(list, (PyTypeObject *)state->acl)) {
        PyErr_SetString(PyExc_TypeError, "not an Acl");
        return 0;
    }
    if (!udp_prepare(fd, family))
        return PyErr_SetFromErrno(PyExc_OSError);
    door_object *self = (door_object *)PyType_GenericAlloc(type, 0);
    if (!self)
        return 0;
    self->core = (core_object *)Py_NewRef(core);
    self->list = (acl_object *)Py_NewRef(list);
    self->fd = fd;
    self->batch = malloc(sizeof *self->batch);
    if (!self->batch) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    udp_init(self->batch);
    return (PyObject *)self;
}

static void door_dealloc(PyObject *object)
{
    door_object *self = (door_object *)object;
    Py_XDECREF((PyObject *)self->core);
    Py_XDECREF((PyObject *)self->list);
    free(self->batch);
    python_free(object);
}

/* Append (Ask, Client). Returns 0 with an exception. */
static int append(door_object *self, PyObject *list, const dns_question *q, unsigned i, const core_outcome *o, const uint8_t *control, size_t control_bytes, uint64_t since_ns)
{
    udp_batch *b = self->batch;
    module_state *state = python_state((PyObject *)self);
    PyObject *ask = ask_new(state, &self->core->core, q, b->packet[i], TRANSPORT_UDP, o, since_ns);
    client_object *client = ask ? (client_object *)PyType_GenericAlloc((PyTypeObject *)state->client, 0) : 0;
    PyObject *pair = client ? PyTuple_Pack(2, ask, (PyObject *)client) : 0;
    if (pair) {
        client->address = b->address[i];
        client->address_bytes = b->in[i].msg_hdr.msg_namelen;
        client->control_bytes = control_bytes;
        memcpy(client->control, control, control_bytes);
    }
    int done = pair && PyList_Append(list, pair) == 0;
    Py_XDECREF(pair);
    Py_XDECREF((PyObject *)client);
    Py_XDECREF(ask);
    return done;
}

typedef struct { uint64_t by_source[COUNTS_SOURCES]; } tally;

/* Datagram `i` of the batch: its answer becomes message `*n_out`, or it is appended to `list`. Returns 0 with an exception. */
static int take(door_object *self, PyObject *list, unsigned i, unsigned *n_out, uint64_t now_ms, uint64_t since_ns, tally *t)
{
    udp_batch *b = self->batch;
    dns_core *core = &self->core->core;
    uint8_t address[16], control[CLIENT_CONTROL_BYTES] = { 0 };
    uint32_t dropped = self->dropped;
    unsigned family = udp_sender(&b->address[i], address);
    size_t control_bytes = udp_reply_from(&b->in[i].msg_hdr, control, &dropped);
    dns_question q;
    core_outcome o;
    counts_limit(&core->counts, LIMIT_UDP_RECEIVE, (uint32_t)(dropped - self->dropped));
    self->dropped = dropped;
    if (!family)
        return 1;
    if (acl_allows(&self->list->list, address))
        core_handle(core, b->packet[i], b->in[i].msg_len, TRANSPORT_UDP, family, now_ms, &q, b->answer[*n_out], &o);
    else
        core_prohibit(core, b->packet[i], b->in[i].msg_len, TRANSPORT_UDP, family, &q, b->answer[*n_out], &o);
    if (o.kind == CORE_ASK_MISS || o.kind == CORE_ASK_HITS)
        return append(self, list, &q, i, &o, control, control_bytes, since_ns);
    if (o.kind == CORE_ANSWER) {
        counts_response(&core->counts, o.rcode, o.source);
        t->by_source[o.source]++;
        memcpy(b->control[i], control, control_bytes); /* what was received there has been read */
        udp_lay(b, *n_out, &b->address[i], b->in[i].msg_hdr.msg_namelen, b->control[i], control_bytes, b->answer[*n_out], o.size);
        (*n_out)++;
    }
    return 1;
}

static PyObject *door_poll(PyObject *object, PyObject *now)
{
    door_object *self = (door_object *)object;
    uint64_t now_ms;
    tally t = { { 0 } };
    unsigned n_out = 0;
    int ok = 1;
    if (!python_milliseconds(now, &now_ms))
        return 0;
    int n = udp_receive(self->batch, self->fd);
    if (n < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    PyObject *list = PyList_New(0);
    uint64_t since_ns = n ? python_clock_ns() : 0;
    for (int i = 0; i < n && ok && list; i++)
        ok = take(self, list, (unsigned)i, &n_out, now_ms, since_ns, &t);
    (void)udp_send(self->batch, self->fd, n_out);
    uint64_t took_ns = n ? python_clock_ns() - since_ns : 0; /* of the batch: each answer left with it */
    for (unsigned s = 0; s < COUNTS_SOURCES; s++)
        if (t.by_source[s])
            counts_duration(&self->core->core.counts, s, took_ns, t.by_source[s]);
    if (!ok)
        Py_CLEAR(list);
    return list;
}

/* Lay one (Client, bytes). The pair keeps both alive: the caller holds the sequence. Returns 0 with an exception. */
static int lay(door_object *self, PyObject *pair, unsigned i)
{
    PyObject *client = PyTuple_Check(pair) && PyTuple_Size(pair) == 2 ? PyTuple_GetItem(pair, 0) : 0;
    char *bytes;
    Py_ssize_t size;
    if (!client || !Py_IS_TYPE(client, (PyTypeObject *)python_state((PyObject *)self)->client)) {
        PyErr_SetString(PyExc_TypeError, "not a (Client, bytes)");
        return 0;
    }
    if (PyBytes_AsStringAndSize(PyTuple_GetItem(pair, 1), &bytes, &size) != 0)
        return 0;
    client_object *c = (client_object *)client;
    udp_lay(self->batch, i, &c->address, c->address_bytes, c->control, c->control_bytes, bytes, (size_t)size);
    return 1;
}

static PyObject *door_send(PyObject *object, PyObject *answers)
{
    door_object *self = (door_object *)object;
    PyObject *tuple = PySequence_Tuple(answers); /* nothing can change it under us */
    unsigned sent = 0, laid = 0;
    if (!tuple)
        return 0;
    Py_ssize_t n = PyTuple_Size(tuple);
    for (Py_ssize_t i = 0; i < n; i++) {
        if (!lay(self, PyTuple_GetItem(tuple, i), laid))
            break;
        if (++laid == UDP_BATCH || i == n - 1) {
            sent += udp_send(self->batch, self->fd, laid);
            laid = 0;
        }
    }
    Py_DECREF(tuple);
    return PyErr_Occurred() ? 0 : PyLong_FromUnsignedLong(sent);
}

static PyMethodDef door_methods[] = {
    { "poll", door_poll, METH_O, "Take a batch, answer what can be answered, return the rest as (Ask, Client)." },
    { "send", door_send, METH_O, "Send (Client, bytes) pairs; returns how many went." },
    { 0, 0, 0, 0 },
};

static PyType_Slot door_slots[] = {
    { Py_tp_doc, "A bound UDP socket." },
    { Py_tp_new, door_new },
    { Py_tp_dealloc, door_dealloc },
    { Py_tp_methods, door_methods },
    { 0, 0 },
};

PyType_Spec udp_door_spec = {
    .name = "blockd.native._dns.UdpDoor",
    .basicsize = sizeof(door_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = door_slots,
};
