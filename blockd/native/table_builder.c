/* ListBuilder: collect.h for Python. */
#include "table_python.h"

#include "collect.h"

typedef struct {
    PyObject_HEAD
    collector c;
    int ready, busy, written;
} builder_object;

static PyObject *builder_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "key", "rails", "threads", 0 };
    PyObject *key_bytes;
    Py_buffer rails_data;
    uint8_t key[16];
    int threads = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "Sy*|i:ListBuilder", names, &key_bytes, &rails_data, &threads))
        return 0;
    builder_object *self = (builder_object *)PyType_GenericAlloc(type, 0);
    if (self && python_key(key_bytes, key)) {
        const char *wrong = rails_load(&self->c.rails, rails_data.buf, (size_t)rails_data.len);
        self->c.key = sip_key_from(key);
        self->c.threads = threads < 1 ? threads_default() : threads > THREADS_MAX ? THREADS_MAX : (unsigned)threads;
        self->c.next_row = 1;
        self->ready = !wrong;
        if (wrong)
            PyErr_SetString(PyExc_ValueError, wrong);
    }
    PyBuffer_Release(&rails_data);
    if (self && !self->ready)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static void builder_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    collect_free(&((builder_object *)object)->c);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

/* A builder is one thread's at a time and takes nothing after it wrote. */
static int builder_usable(const builder_object *self)
{
    if (!self->busy && !self->written)
        return 1;
    PyErr_SetString(PyExc_ValueError, self->busy ? "the builder is in use by another thread" : "the builder has written its list");
    return 0;
}

static int builder_rule(int rule, uint16_t *out, int marks)
{
    *out = (uint16_t)rule;
    if (rule >= 0 && rule + marks < LIST_RULES_MAX)
        return 1;
    PyErr_SetString(PyExc_ValueError, "a rule's number is out of range");
    return 0;
}

static int builder_room(const builder_object *self, size_t more)
{
    if (self->c.n + (uint64_t)more <= LIST_RECORDS_MAX)
        return 1;
    PyErr_SetString(PyExc_ValueError, "too many entries for one list");
    return 0;
}

static int left_format(const char *word, rows_format *format)
{
    static const char *const words[] = { "domains", "hosts", "wildcard", "adblock" };
    for (int i = 0; i < 4; i++)
        if (strcmp(word, words[i]) == 0) {
            *format = (rows_format)i;
            return 1;
        }
    PyErr_SetString(PyExc_ValueError, "not a line format");
    return 0;
}

static PyObject *left_list(const collector *c, unsigned shares)
{
    PyObject *words[3] = { 0 }, *list = PyList_New(0);
    for (int i = 0; i < 3; i++)
        words[i] = PyUnicode_InternFromString(left_words[i]);
    int ok = list && words[0] && words[1] && words[2];
    for (unsigned i = 0; ok && i < shares; i++) {
        const left_row *left = (const left_row *)c->share[i].left.at;
        for (size_t j = 0; ok && j < c->share[i].n_left; j++) {
            PyObject *item = Py_BuildValue("KnnO", (unsigned long long)left[j].row, (Py_ssize_t)left[j].start, (Py_ssize_t)left[j].end,
                                           words[left[j].why]);
            ok = item && PyList_Append(list, item) == 0;
            Py_XDECREF(item);
        }
    }
    for (int i = 0; i < 3; i++)
        Py_XDECREF(words[i]);
    if (!ok)
        Py_CLEAR(list);
    return list;
}

static PyObject *builder_text(builder_object *self, const Py_buffer *data, rows_format format, uint32_t row, uint16_t rule)
{
    unsigned shares;
    self->busy = 1;
    Py_BEGIN_ALLOW_THREADS
    shares = collect_text(&self->c, data->buf, (size_t)data->len, format, row, rule);
    Py_END_ALLOW_THREADS
    self->busy = 0;
    return shares ? left_list(&self->c, shares) : PyErr_NoMemory();
}

static PyObject *builder_add_text(PyObject *object, PyObject *args)
{
    builder_object *self = (builder_object *)object;
    PyObject *result = 0;
    Py_buffer data;
    const char *word;
    unsigned long long first_row;
    uint32_t row, last;
    uint16_t rule;
    rows_format format;
    int number;
    if (!PyArg_ParseTuple(args, "y*sKi:add_text", &data, &word, &first_row, &number))
        return 0;
    if (builder_usable(self) && left_format(word, &format) && builder_rule(number, &rule, 0) && python_uint32(first_row, "a row", &row)
        && python_uint32(first_row + (unsigned long long)data.len, "a row", &last) && builder_room(self, (size_t)data.len / 2 + 1))
        result = builder_text(self, &data, format, row, rule);
    PyBuffer_Release(&data);
    return result;
}

/* 1: added; 0: protected; -1: an exception is set. */
static int builder_name(builder_object *self, const dns_name *name, int kind, uint16_t rule, uint32_t row)
{
    fingerprint parent = { 0, 0 }, f = sip_end(sip_begin(self->c.key), 0, 0);
    if (name->labels)
        f = row_fingerprints(self->c.key, name, &parent);
    int blocks = kind == KIND_SUBTREE || kind == KIND_EXACT;
    if (!name->labels || (blocks && rails_protect(&self->c.rails, name->labels, f, parent)))
        return 0;
    if (collect_one(&self->c, f, row, rule, name->labels, 0))
        return 1;
    (void)PyErr_NoMemory();
    return -1;
}

static PyObject *builder_add_name(PyObject *object, PyObject *args)
{
    builder_object *self = (builder_object *)object;
    Py_buffer wire;
    unsigned long long row_number;
    int kind, number, added = -1;
    uint32_t row;
    uint16_t rule;
    dns_name name;
    if (!PyArg_ParseTuple(args, "y*iiK:add_name", &wire, &kind, &number, &row_number))
        return 0;
    if (kind != KIND_SUBTREE && kind != KIND_EXACT && kind != KIND_ALLOW_SUBTREE && kind != KIND_ALLOW_EXACT)
        PyErr_SetString(PyExc_ValueError, "not a kind that a name can have");
    else if (builder_usable(self) && builder_rule(number, &rule, 0) && python_uint32(row_number, "a row", &row) && python_name(&wire, &name)
             && builder_room(self, 1))
        added = builder_name(self, &name, kind, rule, row);
    PyBuffer_Release(&wire);
    return added < 0 ? 0 : PyBool_FromLong(added);
}

static int builder_url(builder_object *self, const Py_buffer *url, PyObject *host, uint16_t rule, uint32_t row)
{
    Py_buffer wire;
    dns_name name;
    if (host != Py_None) {
        if (PyObject_GetBuffer(host, &wire, PyBUF_SIMPLE) != 0)
            return 0;
        int ok = python_name(&wire, &name);
        PyBuffer_Release(&wire);
        if (!ok)
            return 0;
        if (name.labels && !collect_one(&self->c, name_fingerprint(self->c.key, &name), row, (uint16_t)(rule + 1), name.labels, LIST_MARK))
            return PyErr_NoMemory() != 0;
    }
    fingerprint f = url_fingerprint(self->c.key, url->buf, (size_t)url->len);
    return collect_one(&self->c, f, row, rule, 0, 0) || PyErr_NoMemory() != 0;
}

static PyObject *builder_add_url(PyObject *object, PyObject *args)
{
    builder_object *self = (builder_object *)object;
    Py_buffer url;
    PyObject *host;
    unsigned long long row_number;
    int number, ok = 0;
    uint32_t row;
    uint16_t rule;
    if (!PyArg_ParseTuple(args, "y*OiK:add_url", &url, &host, &number, &row_number))
        return 0;
    if (builder_usable(self) && builder_rule(number, &rule, 1) && python_uint32(row_number, "a row", &row) && builder_room(self, 2))
        ok = builder_url(self, &url, host, rule, row);
    PyBuffer_Release(&url);
    if (!ok)
        return 0;
    Py_RETURN_NONE;
}

static PyObject *builder_write(PyObject *object, PyObject *args)
{
    builder_object *self = (builder_object *)object;
    PyObject *path_object;
    Py_buffer rules;
    uint64_t entries = 0, doubles = 0;
    int sorted = 0, error = 0;
    if (!PyArg_ParseTuple(args, "O&y*:write", PyUnicode_FSConverter, &path_object, &rules))
        return 0;
    int usable = builder_usable(self);
    if (usable) {
        const char *path = PyBytes_AsString(path_object);
        self->busy = 1;
        Py_BEGIN_ALLOW_THREADS
        sorted = collect_sort(&self->c);
        if (sorted)
            error = collect_write(&self->c, path, rules.buf, (size_t)rules.len, &entries, &doubles);
        collect_free(&self->c);
        Py_END_ALLOW_THREADS
        self->busy = 0;
        self->written = 1;
        if (!sorted)
            (void)PyErr_NoMemory();
        else if (error)
            (void)python_os_error(error, path_object);
    }
    PyBuffer_Release(&rules);
    Py_DECREF(path_object);
    return usable && sorted && !error ? Py_BuildValue("KK", (unsigned long long)entries, (unsigned long long)doubles) : 0;
}

static PyObject *builder_rows(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromSize_t(((builder_object *)object)->c.taken);
}

static PyObject *builder_next_row(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(((builder_object *)object)->c.next_row);
}

static PyGetSetDef builder_values[] = {
    { "rows", builder_rows, 0, "Rows that add_text took whole.", 0 },
    { "next_row", builder_next_row, 0, "The number of the row behind the last block.", 0 },
    { 0, 0, 0, 0, 0 },
};

static PyMethodDef builder_methods[] = {
    { "add_text", builder_add_text, METH_VARARGS, "Take the plain rows of a block of whole lines; returns what is left." },
    { "add_name", builder_add_name, METH_VARARGS, "Add a name; False when a rail protects it." },
    { "add_url", builder_add_url, METH_VARARGS, "Add a URL entry and the mark on its host." },
    { "write", builder_write, METH_VARARGS, "Write the compiled list; returns (entries, doubles)." },
    { 0, 0, 0, 0 },
};

static PyType_Slot builder_slots[] = {
    { Py_tp_new, builder_new },
    { Py_tp_dealloc, builder_dealloc },
    { Py_tp_methods, builder_methods },
    { Py_tp_getset, builder_values },
    { Py_tp_doc, "Collects one list's entries and writes its compiled file." },
    { 0, 0 },
};

PyType_Spec builder_spec = { "blockd.native._table.ListBuilder", sizeof(builder_object), 0, Py_TPFLAGS_DEFAULT, builder_slots };
