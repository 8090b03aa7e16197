/* Reply: an upstream answer that passed the walk, and the walk itself. */
#include "dns_python.h"

/* The hits of each target that has entries, as a tuple; 0 with an exception, or with none when the answer is malformed. */
static PyObject *target_hits(const dns_core *core, reply_object *self, const uint8_t *message, unsigned question_bytes)
{
    target_walk t = { message, self->r.size, question_bytes, self->r.counts[0], REPLY_TARGETS_MAX };
    PyObject *list = PyList_New(0);
    verdict_hits h;
    const verdict *v;
    int more = 1;
    while (list && (more = core_next_target(core, &t, &h)) > 0) {
        if (!h.n)
            continue;
        self->speaks |= verdicts_judge(&core->policy.verdicts, &h, &v) != JUDGED_NOTHING;
        PyObject *hits = ask_hits(&h);
        if (!hits || PyList_Append(list, hits) != 0)
            Py_CLEAR(list);
        Py_XDECREF(hits);
    }
    PyObject *result = list && more == 0 ? PyList_AsTuple(list) : 0;
    if (list && more < 0)
        counts_limit(&core->counts, LIMIT_ANSWER_RECORDS, !t.targets);
    Py_XDECREF(list);
    return result;
}

static PyObject *reply_new(core_object *core, const ask_object *ask, const reply *r)
{
    reply_object *self = (reply_object *)PyType_GenericAlloc((PyTypeObject *)python_state((PyObject *)core)->reply, 0);
    if (!self)
        return 0;
    size_t body = r->size - ask->a.q.end;
    self->r = *r;
    self->key = ask->a.key;
    self->epoch = core->core.policy.epoch;
    self->hits = target_hits(&core->core, self, core->answer, ask->a.q.end);
    if (self->hits && body) {
        self->body = PyMem_Malloc(body);
        if (self->body)
            memcpy(self->body, core->answer + ask->a.q.end, body);
        else
            PyErr_NoMemory();
    }
    if (!self->hits || (body && !self->body)) {
        Py_DECREF(self);
        return PyErr_Occurred() ? 0 : PyUnicode_InternFromString("malformed");
    }
    return (PyObject *)self;
}

PyObject *core_py_walk_reply(PyObject *object, PyObject *args)
{
    core_object *self = (core_object *)object;
    PyObject *ask_argument, *result = 0;
    Py_buffer packet;
    ask_object *ask;
    int id;
    if (!PyArg_ParseTuple(args, "Oy*i:walk_reply", &ask_argument, &packet, &id))
        return 0;
    if (python_ask(ask_argument, python_state(object), &ask)) {
        reply r;
        memcpy(self->answer, ask->a.question, ask->a.q.end);
        int walked = packet.len > ANSWER_MAX || id < 0 || id > 0xffff
            ? REPLY_MISMATCH
            : reply_copy(packet.buf, (size_t)packet.len, (uint16_t)id, &ask->a.q, self->core.map, self->answer, &r);
        counts_limit(&self->core.counts, LIMIT_ANSWER_RECORDS, walked == REPLY_BUDGET);
        result = walked == REPLY_OK ? reply_new(self, ask, &r) : PyUnicode_InternFromString(walked == REPLY_MISMATCH ? "mismatch" : "malformed");
    }
    PyBuffer_Release(&packet);
    return result;
}

static void reply_dealloc(PyObject *object)
{
    PyMem_Free(((reply_object *)object)->body);
    Py_CLEAR(((reply_object *)object)->hits);
    python_free(object);
}

enum { REPLY_RCODE, REPLY_TRUNCATED, REPLY_TTL, REPLY_HITS, REPLY_FAILED };

static PyObject *reply_get(PyObject *object, void *which)
{
    const reply_object *self = (reply_object *)object;
    switch ((intptr_t)which) {
    case REPLY_RCODE: return PyLong_FromLong(self->r.rcode);
    case REPLY_TRUNCATED: return PyBool_FromLong(self->r.truncated);
    case REPLY_TTL: return PyLong_FromUnsignedLong(self->r.ttl_s);
    case REPLY_HITS: return Py_NewRef(self->hits);
    default: return PyBool_FromLong(self->r.failed);
    }
}

static PyGetSetDef reply_values[] = {
    { "rcode", reply_get, 0, "With the upper bits of its OPT", (void *)REPLY_RCODE },
    { "truncated", reply_get, 0, "TC was set: ask again over TCP", (void *)REPLY_TRUNCATED },
    { "ttl_s", reply_get, 0, "How long it may be cached; 0: not", (void *)REPLY_TTL },
    { "hits", reply_get, 0, "The hits of each target that has entries", (void *)REPLY_HITS },
    { "failed", reply_get, 0, "Try another upstream", (void *)REPLY_FAILED },
    { 0, 0, 0, 0, 0 },
};

static PyType_Slot reply_slots[] = {
    { Py_tp_doc, "An upstream answer that passed the walk." },
    { Py_tp_dealloc, reply_dealloc },
    { Py_tp_getset, reply_values },
    { 0, 0 },
};

PyType_Spec reply_spec = {
    .name = "blockd.native._dns.Reply",
    .basicsize = sizeof(reply_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = reply_slots,
};
