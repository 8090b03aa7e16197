/* CompiledList: a compiled list, mapped and checked. */
#include "table_python.h"

static PyObject *compiled_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "path", "key", 0 };
    PyObject *path, *key_bytes;
    uint8_t key[16];
    const char *wrong = 0;
    int error = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&S:CompiledList", names, PyUnicode_FSConverter, &path, &key_bytes))
        return 0;
    compiled_object *self = python_key(key_bytes, key) ? (compiled_object *)PyType_GenericAlloc(type, 0) : 0;
    if (self) {
        const char *name = PyBytes_AsString(path);
        Py_BEGIN_ALLOW_THREADS
        error = mapped_open(&self->file, name);
        if (!error)
            wrong = list_open(&self->view, self->file.data, self->file.size, sip_key_from(key));
        Py_END_ALLOW_THREADS
        if (error == EINVAL)
            PyErr_SetString(PyExc_ValueError, "the compiled list is empty or not a regular file");
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

static void compiled_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    mapped_close(&((compiled_object *)object)->file);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static compiled_object *compiled_usable(PyObject *object)
{
    compiled_object *self = (compiled_object *)object;
    if (self->file.data)
        return self;
    PyErr_SetString(PyExc_ValueError, "the compiled list is closed");
    return 0;
}

static PyObject *compiled_close(PyObject *object, PyObject *none)
{
    compiled_object *self = (compiled_object *)object;
    (void)none;
    if (self->users) {
        PyErr_SetString(PyExc_BufferError, "the compiled list is in use");
        return 0;
    }
    mapped_close(&self->file);
    Py_RETURN_NONE;
}

static PyObject *compiled_entries(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(((compiled_object *)object)->view.header.n_entries);
}

static PyObject *compiled_rules(PyObject *object, void *unused)
{
    const compiled_object *self = compiled_usable(object);
    (void)unused;
    return self ? PyBytes_FromStringAndSize((const char *)self->view.rules, (Py_ssize_t)self->view.header.rules_bytes) : 0;
}

static PyObject *compiled_find(PyObject *object, PyObject *wanted)
{
    const compiled_object *self = compiled_usable(object);
    char *data;
    Py_ssize_t size;
    fingerprint f;
    if (!self || PyBytes_AsStringAndSize(wanted, &data, &size) != 0)
        return 0;
    if (size != 16) {
        PyErr_SetString(PyExc_ValueError, "a fingerprint has 16 octets");
        return 0;
    }
    memcpy(&f.hi, data, 8);
    memcpy(&f.lo, data + 8, 8);
    PyObject *list = PyList_New(0);
    for (uint64_t i = list_find(&self->view, f); list && i < self->view.header.n_records; i++) {
        const list_record *r = self->view.records + i;
        if (r->hi != f.hi || r->lo != f.lo)
            break;
        PyObject *item = Py_BuildValue("II", (unsigned)r->row, (unsigned)r->rule);
        if (!item || PyList_Append(list, item) != 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

/* What each rule says, as Python values: a list of as many as the records use. */
static PyObject *compiled_said(const compiled_object *self)
{
    PyObject *json = PyImport_ImportModule("json"), *said = 0;
    if (json)
        said = PyObject_CallMethod(json, "loads", "y#", (const char *)self->view.rules, (Py_ssize_t)self->view.header.rules_bytes);
    Py_XDECREF(json);
    if (said && (!PyList_Check(said) || (uint64_t)PyList_Size(said) < self->view.header.n_rules)) {
        PyErr_SetString(PyExc_ValueError, "the compiled list does not say what its rules are");
        Py_CLEAR(said);
    }
    return said;
}

/* same[i]: the rule of `old` that says what rule i of `self` says, or -1. Returns 0 with an exception set. */
static int32_t *compiled_same(const compiled_object *self, const compiled_object *old)
{
    PyObject *ours = compiled_said(self), *theirs = ours ? compiled_said(old) : 0;
    Py_ssize_t n = ours ? PyList_Size(ours) : 0, m = theirs ? PyList_Size(theirs) : 0;
    int32_t *same = theirs ? malloc(((size_t)n + 1) * sizeof *same) : 0;
    if (theirs && !same)
        (void)PyErr_NoMemory();
    for (Py_ssize_t i = 0; same && i < n; i++) {
        int equal = 0;
        same[i] = -1;
        for (Py_ssize_t j = 0; equal == 0 && j < m; j++) {
            equal = PyObject_RichCompareBool(PyList_GetItem(ours, i), PyList_GetItem(theirs, j), Py_EQ);
            if (equal > 0)
                same[i] = (int32_t)j;
        }
        if (equal < 0) {
            free(same);
            same = 0;
        }
    }
    Py_XDECREF(ours);
    Py_XDECREF(theirs);
    return same;
}

/* Of the records from `i` on with the fingerprint of record `i`: where they end. */
static uint64_t run_end(const list_view *l, uint64_t i)
{
    uint64_t end = i + 1;
    while (end < l->header.n_records && l->records[end].hi == l->records[i].hi && l->records[end].lo == l->records[i].lo)
        end++;
    return end;
}

static uint64_t run_entries(const list_view *l, uint64_t from, uint64_t to)
{
    uint64_t n = 0;
    for (; from < to; from++)
        n += !(l->records[from].flags & LIST_MARK);
    return n;
}

/* How many entries of a[from..to) say the same as one of b[start..end). */
static uint64_t run_common(const list_view *a, uint64_t from, uint64_t to, const list_view *b, uint64_t start, uint64_t end,
                           const int32_t *same)
{
    uint64_t n = 0;
    for (; from < to; from++)
        for (uint64_t j = start; j < end && !(a->records[from].flags & LIST_MARK); j++)
            if (same[a->records[from].rule] == (int32_t)b->records[j].rule) {
                n++;
                break;
            }
    return n;
}

static void diff_count(const list_view *a, const list_view *b, const int32_t *same, uint64_t *added, uint64_t *removed)
{
    uint64_t i = 0, j = 0, common = 0;
    while (i < a->header.n_records && j < b->header.n_records) {
        const list_record *x = a->records + i, *y = b->records + j;
        uint64_t i_end = run_end(a, i), j_end = run_end(b, j);
        if (x->hi == y->hi && x->lo == y->lo) {
            common += run_common(a, i, i_end, b, j, j_end, same);
            i = i_end;
            j = j_end;
        } else if (x->hi < y->hi || (x->hi == y->hi && x->lo < y->lo)) {
            i = i_end;
        } else {
            j = j_end;
        }
    }
    *added = run_entries(a, 0, a->header.n_records) - common;
    *removed = run_entries(b, 0, b->header.n_records) - common;
}

static PyObject *compiled_diff(PyObject *object, PyObject *other)
{
    compiled_object *self = compiled_usable(object), *old = 0;
    uint64_t added = 0, removed = 0;
    if (!self)
        return 0;
    if (other == Py_None)
        return Py_BuildValue("Ki", (unsigned long long)self->view.header.n_entries, 0);
    if (Py_TYPE(other) != Py_TYPE(object)) {
        PyErr_SetString(PyExc_TypeError, "a compiled list or None is wanted");
        return 0;
    }
    old = compiled_usable(other);
    int32_t *same = old ? compiled_same(self, old) : 0;
    if (!same)
        return 0;
    self->users++;
    old->users++;
    Py_BEGIN_ALLOW_THREADS
    diff_count(&self->view, &old->view, same, &added, &removed);
    Py_END_ALLOW_THREADS
    self->users--;
    old->users--;
    free(same);
    return Py_BuildValue("KK", (unsigned long long)added, (unsigned long long)removed);
}

static PyMethodDef compiled_methods[] = {
    { "find", compiled_find, METH_O, "(row, rule) of each record with that fingerprint." },
    { "diff", compiled_diff, METH_O, "(added, removed) entries against an older version." },
    { "close", compiled_close, METH_NOARGS, "Unmap the file." },
    { 0, 0, 0, 0 },
};

static PyGetSetDef compiled_values[] = {
    { "entries", compiled_entries, 0, "Entries, without the marks on hosts of URL entries.", 0 },
    { "rules", compiled_rules, 0, "Canonical JSON: what each rule says.", 0 },
    { 0, 0, 0, 0, 0 },
};

static PyType_Slot compiled_slots[] = {
    { Py_tp_new, compiled_new },
    { Py_tp_dealloc, compiled_dealloc },
    { Py_tp_methods, compiled_methods },
    { Py_tp_getset, compiled_values },
    { Py_tp_doc, "A compiled list, mapped." },
    { 0, 0 },
};

PyType_Spec compiled_spec = { "blockd.native._table.CompiledList", sizeof(compiled_object), 0, Py_TPFLAGS_DEFAULT, compiled_slots };
