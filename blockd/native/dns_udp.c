/* UdpDoor: a bound UDP socket, in batches, without a thread. */
#include "dns_python.h"

typedef struct {
    PyObject_HEAD
    core_object *core;
    acl_object *list;
    udp_batch *batch;
    worker_door door;
} door_object;

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
    if (!udp_prepare(fd, family, 1))
        return PyErr_SetFromErrno(PyExc_OSError);
    door_object *self = (door_object *)PyType_GenericAlloc(type, 0);
    if (!self)
        return 0;
    self->core = (core_object *)Py_NewRef(core);
    self->list = (acl_object *)Py_NewRef(list);
    self->door = (worker_door){ .fd = fd, .family = (uint8_t)family, .state = DOOR_OPEN };
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

static int take(door_object *self, PyObject *list, unsigned i, unsigned *n_out, uint64_t now_ms, uint64_t since_ns)
{
    udp_batch *b = self->batch;
    dns_core *core = &self->core->core;
    core_work *work = &self->core->work;
    uint8_t address[16];
    uint32_t dropped = self->door.dropped;
    core_outcome o;
    asked a = { .client = { .address = b->address[i], .address_bytes = (uint8_t)b->in[i].msg_hdr.msg_namelen } };
    unsigned family = udp_sender(&b->address[i], address);
    a.client.control_bytes = (uint8_t)udp_reply_from(&b->in[i].msg_hdr, a.client.control, &dropped);
    counts_limit(&core->counts, LIMIT_UDP_RECEIVE, (uint32_t)(dropped - self->door.dropped));
    self->door.dropped = dropped;
    if (!family)
        return 1;
    if (acl_allows(&self->list->list, address))
        core_handle(core, b->packet[i], b->in[i].msg_len, TRANSPORT_UDP, family, now_ms, work, b->answer[*n_out], &o);
    else
        core_prohibit(core, b->packet[i], b->in[i].msg_len, TRANSPORT_UDP, family, &work->q, b->answer[*n_out], &o);
    core_counted(core, &o, worker_clock_ns() - since_ns);
    if (o.kind == CORE_ASK_MISS || o.kind == CORE_ASK_HITS) {
        asked_fill(&a, &work->q, b->packet[i], &o.hits, cache_key(core->key, &work->q), core->policy.epoch, since_ns);
        a.why = o.kind == CORE_ASK_HITS ? ASKED_HITS : ASKED_MISS;
        return python_append(python_state((PyObject *)self), list, &a, (PyObject *)self);
    }
    if (o.kind == CORE_ANSWER) {
        memcpy(b->control[i], a.client.control, a.client.control_bytes); /* what was received there has been read */
        udp_lay(b, *n_out, &b->address[i], a.client.address_bytes, b->control[i], a.client.control_bytes, b->answer[*n_out], o.size);
        (*n_out)++;
    }
    return 1;
}

static PyObject *door_poll(PyObject *object, PyObject *now)
{
    door_object *self = (door_object *)object;
    uint64_t now_ms;
    unsigned n_out = 0;
    int ok = 1;
    if (!python_milliseconds(now, &now_ms))
        return 0;
    int n = udp_receive(self->batch, self->door.fd);
    if (n < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    PyObject *list = PyList_New(0);
    uint64_t since_ns = n ? worker_clock_ns() : 0;
    for (int i = 0; i < n && ok && list; i++)
        ok = take(self, list, (unsigned)i, &n_out, now_ms, since_ns);
    (void)udp_send(self->batch, self->door.fd, n_out);
    if (!ok)
        Py_CLEAR(list);
    return list;
}

static PyObject *door_send(PyObject *object, PyObject *answers)
{
    door_object *self = (door_object *)object;
    return python_send(python_state(object), object, answers, &self->door, self->batch);
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
