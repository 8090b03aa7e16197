/* What a Core enforces: configuration, table, verdicts. A new policy is built whole beside the old one and then takes its place. */
#include "dns_python.h"

static int is_sequence(PyObject *object, const char *what)
{
    if (PySequence_Check(object) && !PyUnicode_Check(object))
        return 1;
    PyErr_Format(PyExc_TypeError, "%s is not a sequence", what);
    return 0;
}

/* Copy packed addresses of `size` octets. Returns their number, or -1 with an exception. */
static int take_addresses(PyObject *sequence, uint8_t *out, Py_ssize_t size)
{
    Py_ssize_t n = is_sequence(sequence, "addresses") ? PySequence_Size(sequence) : -1;
    if (n < 0)
        return -1;
    if (n > ANSWER_ADDRESSES_MAX) {
        PyErr_Format(PyExc_ValueError, "more than %d stop-page addresses of one family", ANSWER_ADDRESSES_MAX);
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *item = PySequence_GetItem(sequence, i);
        char *data;
        Py_ssize_t length;
        int ok = item && PyBytes_AsStringAndSize(item, &data, &length) == 0;
        if (ok && length != size) {
            PyErr_SetString(PyExc_ValueError, "an address of the wrong size");
            ok = 0;
        }
        if (ok)
            memcpy(out + i * size, data, (size_t)size);
        Py_XDECREF(item);
        if (!ok)
            return -1;
    }
    return (int)n;
}

PyObject *core_configure(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "addresses4", "addresses6", "ttl_s", "udp_max", "not_ready", 0 };
    core_object *self = (core_object *)object;
    PyObject *four = 0, *six = 0;
    int ttl_s = -1, udp_max = -1, not_ready = -1;
    answer_settings s = { .n4 = 0 };
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$OOiip:configure", names, &four, &six, &ttl_s, &udp_max, &not_ready))
        return 0;
    if (!four || !six || not_ready < 0) {
        PyErr_SetString(PyExc_TypeError, "configure() needs all its arguments");
        return 0;
    }
    int n4 = take_addresses(four, s.addresses4[0], 4), n6 = n4 < 0 ? -1 : take_addresses(six, s.addresses6[0], 16);
    if (n6 < 0)
        return 0;
    if (ttl_s < 0 || ttl_s > REPLY_TTL_MAX_S || udp_max < UDP_SIZE_MIN || udp_max > QUESTION_MESSAGE_MAX) {
        PyErr_SetString(PyExc_ValueError, "ttl_s is 0 to 86400, udp_max 512 to 4096");
        return 0;
    }
    s.n4 = (uint8_t)n4;
    s.n6 = (uint8_t)n6;
    s.ttl_s = (uint32_t)ttl_s;
    s.udp_max = (uint16_t)udp_max;
    core_hold(self);
    self->core.policy.settings = s;
    self->core.policy.not_ready = not_ready != 0;
    core_give(self);
    Py_RETURN_NONE;
}

static void free_verdicts(verdicts *v)
{
    free(v->verdicts);
    free(v->cells);
    free(v->index);
    free(v->combinations);
    *v = (verdicts){ 0 };
}

void core_release_policy(core_object *self)
{
    free_verdicts(&self->core.policy.verdicts);
    free(self->core.policy.url_hosts);
    self->core.policy.url_hosts = 0;
}

void core_hold(core_object *self)
{
    for (worker_object *worker = self->workers; worker; worker = worker->next)
        worker_lock(worker->w);
}

void core_give(core_object *self)
{
    for (worker_object *worker = self->workers; worker; worker = worker->next) {
        worker->w->core.policy = self->core.policy;
        worker_unlock(worker->w);
    }
}

/* Make room for one more item. Returns 0 with an exception. */
static int grow(void **items, uint32_t n, uint32_t *room, size_t size)
{
    if (n < *room)
        return 1;
    uint32_t more = *room ? *room * 2 : 64;
    void *larger = realloc(*items, more * size);
    if (!larger) {
        PyErr_NoMemory();
        return 0;
    }
    *items = larger;
    *room = more;
    return 1;
}

/* A policy cell's number; -1 stays. Returns 0 with an exception. */
static int take_cell(const dns_core *c, long long cell, int32_t *out)
{
    *out = (int32_t)cell;
    if (cell == -1 || (cell >= c->counts.policy && cell < c->counts.size))
        return 1;
    PyErr_SetString(PyExc_ValueError, "no such policy cell");
    return 0;
}

static int take_shadows(const dns_core *c, verdicts *v, PyObject *sequence, verdict *out)
{
    Py_ssize_t n = is_sequence(sequence, "shadow cells") ? PySequence_Size(sequence) : -1;
    out->shadow_at = v->n_cells;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *item = PySequence_GetItem(sequence, i);
        long long cell = item ? PyLong_AsLongLong(item) : -1;
        int32_t taken;
        Py_XDECREF(item);
        if (PyErr_Occurred() || !take_cell(c, cell, &taken) || !grow((void **)&v->cells, v->n_cells, &v->cells_room, sizeof *v->cells))
            return 0;
        if (taken >= 0)
            v->cells[v->n_cells++] = (uint32_t)taken;
    }
    out->n_shadow = v->n_cells - out->shadow_at;
    return n >= 0;
}

/* Append (action, ede, hit cell, shadow cells). Returns 0 with an exception; shadow cells taken by then stay unused. */
static int take_verdict(const dns_core *c, verdicts *v, PyObject *tuple)
{
    int action, ede;
    long long cell;
    PyObject *shadows;
    verdict one = { .action = 0 };
    if (!PyTuple_Check(tuple)) {
        PyErr_SetString(PyExc_TypeError, "a verdict is a tuple");
        return 0;
    }
    if (!PyArg_ParseTuple(tuple, "iiLO", &action, &ede, &cell, &shadows))
        return 0;
    if (action < 0 || action >= ACTION_END || ede < EDE_NONE || ede > 0x7fff || v->n == VERDICTS_MAX) {
        PyErr_SetString(PyExc_ValueError, v->n == VERDICTS_MAX ? "too many verdicts" : "no such action or EDE");
        return 0;
    }
    one.action = (uint8_t)action;
    one.ede = (int16_t)ede;
    if (!take_cell(c, cell, &one.hit_cell) || !take_shadows(c, v, shadows, &one) || !grow((void **)&v->verdicts, v->n, &v->room, sizeof one))
        return 0;
    v->verdicts[v->n++] = one;
    return 1;
}

static int take_verdicts(const dns_core *c, verdicts *v, PyObject *sequence)
{
    Py_ssize_t n = is_sequence(sequence, "verdicts") ? PySequence_Size(sequence) : -1;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *item = PySequence_GetItem(sequence, i);
        int ok = item && take_verdict(c, v, item);
        Py_XDECREF(item);
        if (!ok)
            return 0;
    }
    return n >= 0;
}

/* The index, and a place for combinations. Every number in it is a verdict or VERDICT_ASK. */
static int take_index(verdicts *v, const Py_buffer *index, uint64_t n_sets)
{
    if ((uint64_t)index->len < n_sets * 2 * sizeof(uint32_t)) {
        PyErr_SetString(PyExc_ValueError, "the index is shorter than the table's sets");
        return 0;
    }
    v->n_sets = (uint32_t)n_sets;
    v->index = calloc(n_sets * 2 + 1, sizeof(uint32_t));
    v->combinations = calloc(VERDICTS_COMBINATIONS, sizeof(verdict_combination));
    if (!v->index || !v->combinations) {
        PyErr_NoMemory();
        return 0;
    }
    memcpy(v->index, index->buf, n_sets * 2 * sizeof(uint32_t));
    for (uint64_t i = 0; i < n_sets * 2; i++)
        if (v->index[i] >= v->n && v->index[i] != VERDICT_ASK) {
            PyErr_SetString(PyExc_ValueError, "the index names a verdict that there is not");
            return 0;
        }
    return 1;
}

/* 0 and no exception for None. */
static uint8_t *take_marks(PyObject *marks, uint64_t n_sets)
{
    Py_buffer b;
    uint8_t *copy = 0;
    if (marks == Py_None || PyObject_GetBuffer(marks, &b, PyBUF_SIMPLE) != 0)
        return 0;
    if ((uint64_t)b.len < n_sets)
        PyErr_SetString(PyExc_ValueError, "url_hosts is shorter than the table's sets");
    else if (!(copy = calloc(n_sets + 1, 1)))
        PyErr_NoMemory();
    else
        memcpy(copy, b.buf, n_sets);
    PyBuffer_Release(&b);
    return copy;
}

/* Open the table; its buffer is taken. Returns 0 with an exception, and then the buffer is not. */
static int take_table(PyObject *table, PyObject *key, Py_buffer *buffer, table_view *view)
{
    const char *wrong = 0;
    char *key_bytes;
    Py_ssize_t key_size;
    if (PyBytes_AsStringAndSize(key, &key_bytes, &key_size) != 0 || PyObject_GetBuffer(table, buffer, PyBUF_SIMPLE) != 0)
        return 0;
    if (key_size != 16)
        wrong = "a key has 16 octets";
    else if ((uintptr_t)buffer->buf % sizeof(uint64_t))
        wrong = "the table is not aligned";
    else
        wrong = table_open(view, buffer->buf, (size_t)buffer->len, (const uint8_t *)key_bytes);
    if (!wrong)
        return 1;
    PyErr_SetString(PyExc_ValueError, wrong);
    PyBuffer_Release(buffer);
    return 0;
}

PyObject *core_swap(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "table", "key", "verdicts", "index", "url_hosts", 0 };
    core_object *self = (core_object *)object;
    PyObject *table, *key, *sequence, *marks = Py_None;
    Py_buffer index, buffer = { 0 };
    table_view view = { 0 };
    verdicts v = { 0 };
    uint8_t *url_hosts = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOy*|O:swap", names, &table, &key, &sequence, &index, &marks))
        return 0;
    int has_table = table != Py_None, ok = !has_table || take_table(table, key, &buffer, &view);
    if (ok) {
        uint64_t n_sets = has_table ? view.header->n_sets : 0;
        ok = take_verdicts(&self->core, &v, sequence) && take_index(&v, &index, n_sets);
        url_hosts = ok ? take_marks(marks, n_sets) : 0;
        ok = ok && !PyErr_Occurred();
    }
    PyBuffer_Release(&index);
    if (!ok) {
        free_verdicts(&v);
        if (buffer.obj)
            PyBuffer_Release(&buffer);
        return 0;
    }
    Py_buffer old = self->table;
    core_hold(self);
    core_release_policy(self);
    self->table = buffer;
    self->core.policy.table = view;
    self->core.policy.has_table = has_table != 0;
    self->core.policy.verdicts = v;
    self->core.policy.url_hosts = url_hosts;
    self->core.policy.epoch++;
    core_give(self);
    if (old.obj)
        PyBuffer_Release(&old); /* last: this may run other code */
    Py_RETURN_NONE;
}

/* (set, is the whole name) pairs, as Ask.hits has them. */
static int take_hits(PyObject *sequence, verdict_hits *h)
{
    Py_ssize_t n = is_sequence(sequence, "hits") ? PySequence_Size(sequence) : -1;
    if (n > TABLE_HITS_MAX) {
        PyErr_SetString(PyExc_ValueError, "more hits than a name can have");
        return 0;
    }
    for (h->n = 0; h->n < n; h->n++) {
        PyObject *pair = PySequence_GetItem(sequence, h->n);
        unsigned set = 0;
        int full = 0, ok = pair && PyTuple_Check(pair) && PyArg_ParseTuple(pair, "Ip", &set, &full);
        Py_XDECREF(pair);
        if (!ok) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_TypeError, "a hit is a tuple");
            return 0;
        }
        h->hits[h->n] = set * 2 + (full != 0);
    }
    return n >= 0;
}

PyObject *core_add_verdict(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "verdict", "hits", 0 };
    core_object *self = (core_object *)object;
    PyObject *tuple, *sequence = 0;
    verdict_hits h = { .n = 0 };
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:add_verdict", names, &tuple, &sequence))
        return 0;
    if (sequence && !take_hits(sequence, &h))
        return 0;
    core_hold(self);
    int ok = take_verdict(&self->core, &self->core.policy.verdicts, tuple);
    uint32_t number = self->core.policy.verdicts.n - 1;
    if (ok && h.n)
        (void)verdicts_learn(&self->core.policy.verdicts, &h, number);
    core_give(self);
    if (!ok)
        return 0;
    return PyLong_FromUnsignedLong(number);
}
