/* Ask: one query that needs Python. It holds the question as it came, never who sent it. */
#include "dns_python.h"

/* ((set, is the whole name), ...) */
PyObject *ask_hits(const verdict_hits *h)
{
    PyObject *hits = PyTuple_New(h->n);
    for (Py_ssize_t i = 0; hits && i < h->n; i++) {
        PyObject *pair = Py_BuildValue("IO", (unsigned)(h->hits[i] >> 1), h->hits[i] & 1 ? Py_True : Py_False);
        if (!pair || PyTuple_SetItem(hits, i, pair) != 0)
            Py_CLEAR(hits);
    }
    return hits;
}

PyObject *ask_new(module_state *state, const dns_core *core, const dns_question *q, const uint8_t *question, unsigned transport, const core_outcome *o, uint64_t since_ns)
{
    PyObject *hits = ask_hits(&o->hits);
    ask_object *self = hits ? (ask_object *)PyType_GenericAlloc((PyTypeObject *)state->ask, 0) : 0;
    if (!self) {
        Py_XDECREF(hits);
        return 0;
    }
    self->q = *q;
    memcpy(self->question, question, q->end);
    self->transport = (uint8_t)transport;
    self->why = o->kind;
    self->key = cache_key(core->key, q);
    self->since_ns = since_ns;
    self->hits = hits;
    return (PyObject *)self;
}

static void ask_dealloc(PyObject *object)
{
    Py_CLEAR(((ask_object *)object)->hits);
    python_free(object);
}

static PyObject *ask_upstream(PyObject *object, PyObject *number)
{
    const ask_object *self = (ask_object *)object;
    unsigned long id = PyLong_AsUnsignedLong(number);
    if (PyErr_Occurred())
        return 0;
    if (id > 0xffff) {
        PyErr_SetString(PyExc_ValueError, "an ID has 16 bits");
        return 0;
    }
    uint8_t query[QUESTION_BYTES_MAX + 16];
    dns_question ours = { .opt = 1, .dnssec_ok = self->q.dnssec_ok, .end = self->q.end };
    memcpy(query, self->question, self->q.end);
    writer w = answer_begin(query, sizeof query, &ours);
    store_u16(query, (uint16_t)id);
    store_u16(query + 2, FLAG_RD | (self->q.flags & FLAG_CD));
    store_u16(query + 4, 1);
    answer_count(query, 0, 0, answer_opt(&w, &ours, 0, EDE_NONE));
    return PyBytes_FromStringAndSize((const char *)query, (Py_ssize_t)writer_at(&w));
}

enum { ASK_WHY, ASK_TRANSPORT, ASK_WIRE, ASK_QTYPE, ASK_QCLASS, ASK_KEY, ASK_HITS };

static PyObject *ask_get(PyObject *object, void *which)
{
    const ask_object *self = (ask_object *)object;
    uint8_t key[16];
    switch ((intptr_t)which) {
    case ASK_WHY: return PyUnicode_InternFromString(self->why == CORE_ASK_HITS ? "hits" : "miss");
    case ASK_TRANSPORT: return PyLong_FromLong(self->transport);
    case ASK_WIRE: return PyBytes_FromStringAndSize((const char *)self->q.name.wire, self->q.name.length);
    case ASK_QTYPE: return PyLong_FromLong(self->q.type);
    case ASK_QCLASS: return PyLong_FromLong(self->q.qclass);
    case ASK_HITS: return Py_NewRef(self->hits);
    default:
        memcpy(key, &self->key.hi, 8);
        memcpy(key + 8, &self->key.lo, 8);
        return PyBytes_FromStringAndSize((const char *)key, 16);
    }
}

static PyGetSetDef ask_values[] = {
    { "why", ask_get, 0, "miss: forward it; hits: several entries speak about the name", (void *)ASK_WHY },
    { "transport", ask_get, 0, "terms.Transport", (void *)ASK_TRANSPORT },
    { "wire", ask_get, 0, "The folded name", (void *)ASK_WIRE },
    { "qtype", ask_get, 0, "QTYPE", (void *)ASK_QTYPE },
    { "qclass", ask_get, 0, "QCLASS", (void *)ASK_QCLASS },
    { "key", ask_get, 0, "16 octets; equal keys coalesce", (void *)ASK_KEY },
    { "hits", ask_get, 0, "(set, is the whole name), shallowest first", (void *)ASK_HITS },
    { 0, 0, 0, 0, 0 },
};

static PyMethodDef ask_methods[] = {
    { "upstream", ask_upstream, METH_O, "The query to send upstream under this ID." },
    { 0, 0, 0, 0 },
};

static PyType_Slot ask_slots[] = {
    { Py_tp_doc, "One query that needs Python." },
    { Py_tp_dealloc, ask_dealloc },
    { Py_tp_getset, ask_values },
    { Py_tp_methods, ask_methods },
    { 0, 0 },
};

PyType_Spec ask_spec = {
    .name = "blockd.native._dns.Ask",
    .basicsize = sizeof(ask_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = ask_slots,
};
