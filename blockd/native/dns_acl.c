/* Acl: who may ask. */
#include "dns_python.h"

static int take_prefix(acl *a, PyObject *pair)
{
    const char *packed;
    Py_ssize_t size;
    int bits;
    if (!PyTuple_Check(pair)) {
        PyErr_SetString(PyExc_TypeError, "a prefix is a tuple");
        return 0;
    }
    if (!PyArg_ParseTuple(pair, "y#i", &packed, &size, &bits))
        return 0;
    if (bits >= 0 && acl_range_of((const uint8_t *)packed, (size_t)size, (unsigned)bits, &a->ranges[a->n])) {
        a->n++;
        return 1;
    }
    PyErr_SetString(PyExc_ValueError, "not a packed address and a prefix length");
    return 0;
}

static PyObject *acl_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "prefixes", 0 };
    PyObject *prefixes;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:Acl", names, &prefixes))
        return 0;
    Py_ssize_t n = PySequence_Size(prefixes);
    if (n < 0)
        return 0;
    if (n > ACL_PREFIXES_MAX) {
        PyErr_Format(PyExc_ValueError, "more than %d prefixes", ACL_PREFIXES_MAX);
        return 0;
    }
    acl_object *self = (acl_object *)PyType_GenericAlloc(type, 0);
    if (!self)
        return 0;
    self->list.ranges = calloc(n ? (size_t)n : 1, sizeof(acl_range));
    if (!self->list.ranges)
        PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < n && !PyErr_Occurred(); i++) {
        PyObject *pair = PySequence_GetItem(prefixes, i);
        if (pair)
            (void)take_prefix(&self->list, pair);
        Py_XDECREF(pair);
    }
    if (PyErr_Occurred())
        Py_CLEAR(self);
    else
        acl_seal(&self->list);
    return (PyObject *)self;
}

static void acl_dealloc(PyObject *object)
{
    free(((acl_object *)object)->list.ranges);
    python_free(object);
}

static PyObject *acl_py_allows(PyObject *object, PyObject *packed)
{
    Py_buffer b;
    uint8_t address[16];
    if (PyObject_GetBuffer(packed, &b, PyBUF_SIMPLE) != 0)
        return 0;
    int is = acl_address(b.buf, (size_t)b.len, address);
    PyBuffer_Release(&b);
    if (!is) {
        PyErr_SetString(PyExc_ValueError, "a packed address has 4 or 16 octets");
        return 0;
    }
    return PyBool_FromLong(acl_allows(&((acl_object *)object)->list, address));
}

static PyMethodDef acl_methods[] = {
    { "allows", acl_py_allows, METH_O, "May this packed address ask?" },
    { 0, 0, 0, 0 },
};

static PyType_Slot acl_slots[] = {
    { Py_tp_doc, "CIDR prefixes of the clients that may ask." },
    { Py_tp_new, acl_new },
    { Py_tp_dealloc, acl_dealloc },
    { Py_tp_methods, acl_methods },
    { 0, 0 },
};

PyType_Spec acl_spec = {
    .name = "blockd.native._dns.Acl",
    .basicsize = sizeof(acl_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = acl_slots,
};
