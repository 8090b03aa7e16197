/* Table: a table file, mapped; its mapping is its buffer. */
#include "table_python.h"

#include "table_check.h"

static PyObject *table_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "path", "key", "verify", 0 };
    PyObject *path, *key_bytes;
    uint8_t key[16];
    const char *wrong = 0;
    int error = 0, verify = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&S|p:Table", names, PyUnicode_FSConverter, &path, &key_bytes, &verify))
        return 0;
    table_object *self = python_key(key_bytes, key) ? (table_object *)PyType_GenericAlloc(type, 0) : 0;
    if (self) {
        const char *name = PyBytes_AsString(path);
        Py_BEGIN_ALLOW_THREADS
        error = mapped_open(&self->file, name);
        if (!error) {
            wrong = table_open(&self->view, self->file.data, self->file.size, key);
            if (!wrong)
                mapped_populate(&self->file);
            if (!wrong && verify)
                wrong = table_verify(&self->view);
        }
        Py_END_ALLOW_THREADS
        if (error == EINVAL)
            PyErr_SetString(PyExc_ValueError, "the file is empty or not a regular file");
        else if (error)
            (void)python_os_error(error, path);
        else if (wrong)
            PyErr_SetString(PyExc_ValueError, wrong);
        if (error || wrong)
            Py_CLEAR(self);
    }
    Py_DECREF(path);
    return (PyObject *)self;
}

static void table_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    mapped_close(&((table_object *)object)->file);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static table_object *table_usable(PyObject *object)
{
    table_object *self = (table_object *)object;
    if (self->file.data)
        return self;
    PyErr_SetString(PyExc_ValueError, "the table is closed");
    return 0;
}

static PyObject *table_close(PyObject *object, PyObject *none)
{
    table_object *self = (table_object *)object;
    (void)none;
    if (self->users) {
        PyErr_SetString(PyExc_BufferError, "the table is in use");
        return 0;
    }
    mapped_close(&self->file);
    Py_RETURN_NONE;
}

static int table_get_buffer(PyObject *object, Py_buffer *buffer, int flags)
{
    table_object *self = table_usable(object);
    if (!self || PyBuffer_FillInfo(buffer, object, (void *)(uintptr_t)self->file.data, (Py_ssize_t)self->file.size, 1, flags) != 0) {
        buffer->obj = 0;
        return -1;
    }
    self->users++;
    return 0;
}

static void table_release_buffer(PyObject *object, Py_buffer *buffer)
{
    (void)buffer;
    ((table_object *)object)->users--;
}

enum { VALUE_ENTRIES, VALUE_SETS, VALUE_BYTES };

static PyObject *table_value(PyObject *object, void *which)
{
    const table_object *self = table_usable(object);
    if (!self)
        return 0;
    const table_header *h = self->view.header;
    const uint64_t values[] = { [VALUE_ENTRIES] = h->n_entries, [VALUE_SETS] = h->n_sets, [VALUE_BYTES] = h->file_bytes };
    return PyLong_FromUnsignedLongLong(values[(intptr_t)which]);
}

static PyObject *table_rules(PyObject *object, void *unused)
{
    const table_object *self = table_usable(object);
    (void)unused;
    if (!self)
        return 0;
    const table_header *h = self->view.header;
    return PyBytes_FromStringAndSize((const char *)self->file.data + h->rules_at, (Py_ssize_t)h->rules_bytes);
}

/* The wire name of a call's argument; 0 with an exception set. */
static int table_name(PyObject *argument, dns_name *name)
{
    Py_buffer wire;
    if (PyObject_GetBuffer(argument, &wire, PyBUF_SIMPLE) != 0)
        return 0;
    int ok = python_name(&wire, name);
    PyBuffer_Release(&wire);
    return ok;
}

static PyObject *table_find(PyObject *object, PyObject *wire)
{
    const table_object *self = table_usable(object);
    table_hit hits[TABLE_HITS_MAX];
    dns_name name;
    if (!self || !table_name(wire, &name))
        return 0;
    Py_ssize_t n = table_lookup(&self->view, &name, hits);
    PyObject *list = PyList_New(n);
    for (Py_ssize_t i = 0; list && i < n; i++) {
        unsigned set = (unsigned)(hits[i].payload & TABLE_SET_MASK) - 1;
        PyObject *item = Py_BuildValue("IiO", set, (int)hits[i].depth, hits[i].full ? Py_True : Py_False);
        if (!item || PyList_SetItem(list, i, item) != 0)
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *table_find_url(PyObject *object, PyObject *url)
{
    const table_object *self = table_usable(object);
    Py_buffer key;
    if (!self || PyObject_GetBuffer(url, &key, PyBUF_SIMPLE) != 0)
        return 0;
    uint32_t payload = table_probe(&self->view, url_fingerprint(self->view.key, key.buf, (size_t)key.len));
    PyBuffer_Release(&key);
    if (!(payload & TABLE_URL))
        Py_RETURN_NONE;
    return PyLong_FromUnsignedLong((payload & TABLE_SET_MASK) - 1);
}

static PyObject *table_url_host(PyObject *object, PyObject *wire)
{
    const table_object *self = table_usable(object);
    dns_name name;
    if (!self || !table_name(wire, &name))
        return 0;
    return PyBool_FromLong((table_probe(&self->view, name_fingerprint(self->view.key, &name)) & TABLE_URL_HOST) != 0);
}

static PyObject *table_set_rules(PyObject *object, PyObject *number)
{
    const table_object *self = table_usable(object);
    const uint32_t *members = 0;
    if (!self)
        return 0;
    unsigned long set = PyLong_AsUnsignedLong(number);
    if (PyErr_Occurred())
        return 0;
    uint32_t n = set > TABLE_SET_MASK ? 0 : table_set(&self->view, (uint32_t)set, &members);
    if (!n) {
        PyErr_SetString(PyExc_ValueError, "the table has no such set");
        return 0;
    }
    PyObject *tuple = PyTuple_New((Py_ssize_t)n);
    for (uint32_t i = 0; tuple && i < n; i++) {
        PyObject *item = PyLong_FromUnsignedLong(members[i]);
        if (!item || PyTuple_SetItem(tuple, (Py_ssize_t)i, item) != 0)
            Py_CLEAR(tuple);
    }
    return tuple;
}

static PyMethodDef table_methods[] = {
    { "lookup", table_find, METH_O, "(set, depth, is the whole name) of every entry that speaks about a wire name." },
    { "lookup_url", table_find_url, METH_O, "The set of a URL entry, or None." },
    { "url_host", table_url_host, METH_O, "Does a URL entry name this host?" },
    { "set_rules", table_set_rules, METH_O, "Global rule numbers of a set." },
    { "close", table_close, METH_NOARGS, "Unmap the file." },
    { 0, 0, 0, 0 },
};

static PyGetSetDef table_values[] = {
    { "entries", table_value, 0, "Fingerprints in the table.", (void *)VALUE_ENTRIES },
    { "sets", table_value, 0, "Combinations of rules.", (void *)VALUE_SETS },
    { "bytes", table_value, 0, "Octets of the file.", (void *)VALUE_BYTES },
    { "rules", table_rules, 0, "Canonical JSON of the rules.", 0 },
    { 0, 0, 0, 0, 0 },
};

static PyType_Slot table_slots[] = {
    { Py_tp_new, table_new },
    { Py_tp_dealloc, table_dealloc },
    { Py_tp_methods, table_methods },
    { Py_tp_getset, table_values },
    { Py_bf_getbuffer, table_get_buffer },
    { Py_bf_releasebuffer, table_release_buffer },
    { Py_tp_doc, "A table file, mapped." },
    { 0, 0 },
};

PyType_Spec table_spec = { "blockd.native._table.Table", sizeof(table_object), 0, Py_TPFLAGS_DEFAULT, table_slots };
