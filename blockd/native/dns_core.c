/* Core: the type, its memory, its figures. dns_swap.c gives it a policy, dns_answer.c and dns_reply.c make it answer. */
#include "dns_python.h"

#include <sys/random.h>

/* layout: counts.layout.NATIVE. Returns 0 with an exception when it is not the layout that this file was compiled for. */
static int take_layout(core_object *self, PyObject *layout)
{
    enum { REQUESTS, RESPONSES, DURATIONS, LIMITS, TYPES, RCODES, BOUNDS, POLICY, CELLS, END };
    unsigned long long n[END];
    if (PySequence_Size(layout) != END) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "the layout is not counts.layout.NATIVE");
        return 0;
    }
    for (Py_ssize_t i = 0; i < END; i++) {
        PyObject *item = PySequence_GetItem(layout, i);
        n[i] = item ? PyLong_AsUnsignedLongLong(item) : 0;
        Py_XDECREF(item);
        if (PyErr_Occurred())
            return 0;
    }
    if (n[TYPES] != COUNTS_TYPES || n[RCODES] != COUNTS_RCODES || n[BOUNDS] != COUNTS_BOUNDS || n[CELLS] > UINT32_MAX || n[POLICY] > n[CELLS]
        || n[LIMITS] + COUNTS_LIMITS > n[POLICY] || n[REQUESTS] > n[CELLS] || n[RESPONSES] > n[CELLS] || n[DURATIONS] > n[CELLS]
        || (unsigned long long)self->slab.len != n[CELLS] * sizeof(uint64_t) || (uintptr_t)self->slab.buf % sizeof(uint64_t)) {
        PyErr_SetString(PyExc_ValueError, "the slab and the layout do not fit this core");
        return 0;
    }
    self->core.counts = (counts){ self->slab.buf, (uint32_t)n[REQUESTS], (uint32_t)n[RESPONSES], (uint32_t)n[DURATIONS], (uint32_t)n[LIMITS], (uint32_t)n[POLICY], (uint32_t)n[CELLS], 0 };
    return 1;
}

static int take_memory(core_object *self, unsigned long long cache_bytes)
{
    dns_core *c = &self->core;
    uint8_t key[16];
    c->shared = &self->shared;
    c->map = calloc(1, sizeof(reply_map));
    c->scratch = calloc(1, ANSWER_MAX);
    self->answer = calloc(1, ANSWER_MAX);
    if (!c->map || !c->scratch || !self->answer || !shared_make(&self->shared, cache_bytes)) {
        PyErr_NoMemory();
        return 0;
    }
    if (getrandom(key, sizeof key, 0) != sizeof key) {
        PyErr_SetFromErrno(PyExc_OSError);
        return 0;
    }
    c->key = sip_key_from(key);
    c->policy.settings = (answer_settings){ .ttl_s = 30, .udp_max = UDP_SIZE_OURS };
    c->policy.epoch = 1;
    return 1;
}

static PyObject *core_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "cache_bytes", "slab", "layout", 0 };
    PyObject *bytes, *slab, *layout;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$OOO:Core", names, &bytes, &slab, &layout))
        return 0;
    if (!bytes || !slab || !layout) {
        PyErr_SetString(PyExc_TypeError, "Core() needs cache_bytes, slab and layout");
        return 0;
    }
    unsigned long long cache_bytes = PyLong_AsUnsignedLongLong(bytes);
    core_object *self = PyErr_Occurred() ? 0 : (core_object *)PyType_GenericAlloc(type, 0);
    if (!self)
        return 0;
    if (PyObject_GetBuffer(slab, &self->slab, PyBUF_WRITABLE) != 0)
        self->slab.obj = 0;
    if (!self->slab.obj || !take_layout(self, layout) || !take_memory(self, cache_bytes))
        Py_CLEAR(self);
    return (PyObject *)self;
}

/* The collector does not see a Core: it holds buffers, and to let the collector take a memoryview apart while its buffer is held ends
 * in a crash when the buffer is given back (memoryview's tp_clear). A cycle needs an exporter that refers to the Core; there is none. */
static void core_dealloc(PyObject *object)
{
    core_object *self = (core_object *)object;
    if (self->table.obj)
        PyBuffer_Release(&self->table);
    if (self->slab.obj)
        PyBuffer_Release(&self->slab);
    core_release_policy(self);
    shared_free(&self->shared);
    free(self->core.map);
    free(self->core.scratch);
    free(self->answer);
    python_free(object);
}

static PyObject *core_flush(PyObject *object, PyObject *none)
{
    (void)none;
    shared_clear(&((core_object *)object)->shared);
    Py_RETURN_NONE;
}

static PyObject *core_stats(PyObject *object, PyObject *none)
{
    core_object *self = (core_object *)object;
    shared_figures f = shared_measure(&self->shared);
    unsigned long long hits = self->core.hits, misses = self->core.misses;
    (void)none;
    for (const worker_object *worker = self->workers; worker; worker = worker->next) {
        worker_lock(worker->w);
        hits += worker->w->core.hits;
        misses += worker->w->core.misses;
        worker_unlock(worker->w);
    }
    return Py_BuildValue(
        "{sKsKsKsKsKsKsKsKsK}", "cache_entries", (unsigned long long)f.entries, "cache_bytes", (unsigned long long)f.bytes, "cache_bytes_max",
        (unsigned long long)f.bytes_max, "cache_evictions", (unsigned long long)f.evictions, "cache_hits", hits, "cache_misses", misses, "failures",
        (unsigned long long)f.failures, "verdicts", (unsigned long long)self->core.policy.verdicts.n, "combinations",
        (unsigned long long)self->core.policy.verdicts.n_combinations);
}

static PyObject *core_epoch(PyObject *object, void *none)
{
    (void)none;
    return PyLong_FromUnsignedLong(((core_object *)object)->core.policy.epoch);
}

static PyGetSetDef core_values[] = {
    { "epoch", core_epoch, 0, "One up at each swap", 0 },
    { 0, 0, 0, 0, 0 },
};

static PyMethodDef core_methods[] = {
    { "configure", (PyCFunction)(void (*)(void))core_configure, METH_VARARGS | METH_KEYWORDS, "Stop-page addresses, TTL, UDP size, readiness." },
    { "swap", (PyCFunction)(void (*)(void))core_swap, METH_VARARGS | METH_KEYWORDS, "Take a new table with its verdicts." },
    { "add_verdict", (PyCFunction)(void (*)(void))core_add_verdict, METH_VARARGS | METH_KEYWORDS, "A verdict for a combination of sets." },
    { "handle", core_py_handle, METH_VARARGS, "One message from a client: bytes, Ask or None." },
    { "prohibit", core_py_prohibit, METH_VARARGS, "The answer for a client that may not ask." },
    { "known", core_py_known, METH_VARARGS, "What the caches have for an Ask, or None." },
    { "stale", core_py_stale, METH_VARARGS, "An answer whose time is up, for want of a newer one; or None." },
    { "reached", core_py_reached, METH_O, "Count a limit that was reached." },
    { "blocked", core_py_blocked, METH_VARARGS, "A verdict's answer, counted; None for drop." },
    { "note", core_py_note, METH_O, "Count a verdict's cells." },
    { "failure", core_py_failure, METH_VARARGS, "An answer that is an rcode and an EDE." },
    { "walk_reply", core_py_walk_reply, METH_VARARGS, "Check an upstream's answer: Reply, \"mismatch\" or \"malformed\"." },
    { "keep", core_py_keep, METH_VARARGS, "Cache a reply; nobody is answered." },
    { "finish", core_py_finish, METH_VARARGS, "Cache a reply and write this client's answer." },
    { "remember_failure", core_py_remember_failure, METH_VARARGS, "Do not ask this again for a while." },
    { "flush", core_flush, METH_NOARGS, "Forget all cached answers and failures." },
    { "stats", core_stats, METH_NOARGS, "Figures of the caches." },
    { 0, 0, 0, 0 },
};

static PyType_Slot core_slots[] = {
    { Py_tp_doc, "Table, cache and answer writer of one worker." },
    { Py_tp_new, core_new },
    { Py_tp_dealloc, core_dealloc },
    { Py_tp_methods, core_methods },
    { Py_tp_getset, core_values },
    { 0, 0 },
};

PyType_Spec core_spec = {
    .name = "blockd.native._dns.Core",
    .basicsize = sizeof(core_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = core_slots,
};
