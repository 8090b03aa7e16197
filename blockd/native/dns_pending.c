/* Pending: questions on their way upstream. */
#include "dns_python.h"

typedef struct {
    PyObject_HEAD
    pending p;
} pending_object;

static PyObject *pending_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "capacity", 0 };
    int capacity;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "i:Pending", names, &capacity))
        return 0;
    if (capacity < 1 || capacity > PENDING_CAPACITY_MAX) {
        PyErr_Format(PyExc_ValueError, "capacity is 1 to %d", PENDING_CAPACITY_MAX);
        return 0;
    }
    pending_object *self = (pending_object *)PyType_GenericAlloc(type, 0);
    if (!self)
        return 0;
    pending *p = &self->p;
    p->capacity = (uint32_t)capacity;
    p->index_mask = pending_index_size(p->capacity) - 1;
    p->places = calloc(p->capacity, sizeof *p->places);
    p->heap = calloc(p->capacity, sizeof *p->heap);
    p->index = calloc((size_t)p->index_mask + 1, sizeof *p->index);
    if (!p->places || !p->heap || !p->index) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    pending_init(p);
    return (PyObject *)self;
}

static void pending_dealloc(PyObject *object)
{
    pending *p = &((pending_object *)object)->p;
    free(p->places);
    free(p->heap);
    free(p->index);
    python_free(object);
}

static PyObject *pending_py_open(PyObject *object, PyObject *args)
{
    PyObject *argument, *deadline;
    ask_object *ask;
    uint64_t deadline_ms;
    int is_new;
    if (!PyArg_ParseTuple(args, "OO:open", &argument, &deadline) || !python_ask(argument, python_state(object), &ask) || !python_milliseconds(deadline, &deadline_ms))
        return 0;
    int64_t handle = pending_open(&((pending_object *)object)->p, ask->a.key, deadline_ms, &is_new);
    if (handle == PENDING_NONE)
        Py_RETURN_NONE;
    return Py_BuildValue("LO", (long long)handle, is_new ? Py_True : Py_False);
}

static PyObject *pending_py_close(PyObject *object, PyObject *number)
{
    long long handle = PyLong_AsLongLong(number);
    if (PyErr_Occurred())
        return 0;
    (void)pending_close(&((pending_object *)object)->p, handle);
    Py_RETURN_NONE;
}

static PyObject *pending_py_expire(PyObject *object, PyObject *now)
{
    uint64_t now_ms;
    if (!python_milliseconds(now, &now_ms))
        return 0;
    PyObject *list = PyList_New(0);
    int64_t handle;
    while (list && (handle = pending_expire(&((pending_object *)object)->p, now_ms)) != PENDING_NONE) {
        PyObject *item = PyLong_FromLongLong(handle);
        if (!item || PyList_Append(list, item) != 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

static Py_ssize_t pending_length(PyObject *object) { return (Py_ssize_t)((pending_object *)object)->p.n; }

static PyMethodDef pending_methods[] = {
    { "open", pending_py_open, METH_VARARGS, "(slot, is new), or None when all slots are taken." },
    { "close", pending_py_close, METH_O, "Free a slot; nothing for one that is free." },
    { "expire", pending_py_expire, METH_O, "Free the slots whose deadline has come, and name them." },
    { 0, 0, 0, 0 },
};

static PyType_Slot pending_slots[] = {
    { Py_tp_doc, "Queries on their way upstream." },
    { Py_tp_new, pending_new },
    { Py_tp_dealloc, pending_dealloc },
    { Py_tp_methods, pending_methods },
    { Py_sq_length, pending_length },
    { 0, 0 },
};

PyType_Spec pending_spec = {
    .name = "blockd.native._dns.Pending",
    .basicsize = sizeof(pending_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = pending_slots,
};
