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

PyObject *ask_new(module_state *state, const asked *a, unsigned transport)
{
    PyObject *hits = ask_hits(&a->hits);
    ask_object *self = hits ? (ask_object *)PyType_GenericAlloc((PyTypeObject *)state->ask, 0) : 0;
    if (!self) {
        Py_XDECREF(hits);
        return 0;
    }
    self->a = *a;
    self->transport = (uint8_t)transport;
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
    return PyBytes_FromStringAndSize((const char *)query, (Py_ssize_t)asked_upstream(&self->a.q, self->a.question, (uint16_t)id, query));
}

enum { ASK_WHY, ASK_TRANSPORT, ASK_WIRE, ASK_QTYPE, ASK_QCLASS, ASK_KEY, ASK_HITS, ASK_EPOCH, ASK_TRIED };

static PyObject *ask_get(PyObject *object, void *which)
{
    const ask_object *self = (ask_object *)object;
    uint8_t key[16];
    switch ((intptr_t)which) {
    case ASK_WHY: return PyUnicode_InternFromString(ASKED_WORDS[self->a.why]);
    case ASK_EPOCH: return PyLong_FromUnsignedLong(self->a.epoch);
    case ASK_TRIED: return PyLong_FromLong(self->a.upstream);
    case ASK_TRANSPORT: return PyLong_FromLong(self->transport);
    case ASK_WIRE: return PyBytes_FromStringAndSize((const char *)self->a.q.name.wire, self->a.q.name.length);
    case ASK_QTYPE: return PyLong_FromLong(self->a.q.type);
    case ASK_QCLASS: return PyLong_FromLong(self->a.q.qclass);
    case ASK_HITS: return Py_NewRef(self->hits);
    default:
        memcpy(key, &self->a.key.hi, 8);
        memcpy(key + 8, &self->a.key.lo, 8);
        return PyBytes_FromStringAndSize((const char *)key, 16);
    }
}

static PyGetSetDef ask_values[] = {
    { "why", ask_get, 0, "miss, hits, or what became of the native forwarder's attempt", (void *)ASK_WHY },
    { "epoch", ask_get, 0, "Of the table that judged the name", (void *)ASK_EPOCH },
    { "tried", ask_get, 0, "The upstream that was tried; -1: none", (void *)ASK_TRIED },
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
