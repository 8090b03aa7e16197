/* blockd.native._table: the module, fingerprints, and what its types share. _table.pyi says what each promises. */
#include "table_python.h"

#include "rows.h"

int python_key(PyObject *bytes, uint8_t key[16])
{
    char *data;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(bytes, &data, &size) != 0)
        return 0;
    if (size != 16) {
        PyErr_SetString(PyExc_ValueError, "a key has 16 octets");
        return 0;
    }
    memcpy(key, data, 16);
    return 1;
}

int python_name(const Py_buffer *wire, dns_name *name)
{
    const uint8_t *p = wire->buf;
    if (wire->len > 0 && name_walk(p, p + wire->len, name) == wire->len)
        return 1;
    PyErr_SetString(PyExc_ValueError, "not one whole uncompressed name");
    return 0;
}

int python_uint32(unsigned long long value, const char *what, uint32_t *out)
{
    *out = (uint32_t)value;
    if (value <= UINT32_MAX)
        return 1;
    PyErr_Format(PyExc_ValueError, "%s does not fit 32 bits", what);
    return 0;
}

PyObject *python_fingerprint(fingerprint f)
{
    uint8_t bytes[16];
    fingerprint_bytes(f, bytes);
    return PyBytes_FromStringAndSize((const char *)bytes, 16);
}

PyObject *python_os_error(int error, PyObject *path)
{
    errno = error;
    return PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
}

static PyObject *module_fingerprint(PyObject *module, PyObject *args)
{
    PyObject *key_bytes, *result = 0;
    Py_buffer wire;
    uint8_t key[16];
    dns_name name;
    (void)module;
    if (!PyArg_ParseTuple(args, "Sy*:fingerprint", &key_bytes, &wire))
        return 0;
    if (python_key(key_bytes, key) && python_name(&wire, &name))
        result = python_fingerprint(name_fingerprint(sip_key_from(key), &name));
    PyBuffer_Release(&wire);
    return result;
}

static PyObject *suffix_list(sip_key key, const dns_name *name)
{
    fingerprint f[NAME_LABELS_MAX];
    name_suffixes(key, name, f);
    PyObject *list = PyList_New(name->labels);
    for (Py_ssize_t i = 0; list && i < name->labels; i++) {
        PyObject *item = python_fingerprint(f[i]);
        if (!item || PyList_SetItem(list, i, item) != 0)
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *module_suffix_fingerprints(PyObject *module, PyObject *args)
{
    PyObject *key_bytes, *result = 0;
    Py_buffer wire;
    uint8_t key[16];
    dns_name name;
    (void)module;
    if (!PyArg_ParseTuple(args, "Sy*:suffix_fingerprints", &key_bytes, &wire))
        return 0;
    if (python_key(key_bytes, key) && python_name(&wire, &name))
        result = suffix_list(sip_key_from(key), &name);
    PyBuffer_Release(&wire);
    return result;
}

static PyObject *module_url_fingerprint(PyObject *module, PyObject *args)
{
    PyObject *key_bytes, *result = 0;
    Py_buffer url;
    uint8_t key[16];
    (void)module;
    if (!PyArg_ParseTuple(args, "Sy*:url_fingerprint", &key_bytes, &url))
        return 0;
    if (python_key(key_bytes, key))
        result = python_fingerprint(url_fingerprint(sip_key_from(key), url.buf, (size_t)url.len));
    PyBuffer_Release(&url);
    return result;
}

static PyMethodDef methods[] = {
    { "fingerprint", module_fingerprint, METH_VARARGS, "The fingerprint of a name, 16 octets." },
    { "suffix_fingerprints", module_suffix_fingerprints, METH_VARARGS, "Of every suffix of a name, shallowest first." },
    { "url_fingerprint", module_url_fingerprint, METH_VARARGS, "The fingerprint of a URL key, 16 octets." },
    { "build_table", module_build_table, METH_VARARGS, "Merge compiled lists into one table file." },
    { "check_table", module_check_table, METH_VARARGS, "Compare a table with the compiled lists that it was built from." },
    { 0, 0, 0, 0 },
};

static int add_type(PyObject *module, PyType_Spec *spec, const char *name, PyObject **kept)
{
    *kept = PyType_FromModuleAndSpec(module, spec, 0);
    return *kept ? PyModule_AddObjectRef(module, name, *kept) : -1;
}

static int module_exec(PyObject *module)
{
    module_state *s = PyModule_GetState(module);
    if (add_type(module, &builder_spec, "ListBuilder", &s->builder) != 0
        || add_type(module, &compiled_spec, "CompiledList", &s->compiled) != 0
        || add_type(module, &table_spec, "Table", &s->table) != 0)
        return -1;
    return PyModule_AddIntConstant(module, "LINE_MAX_BYTES", LINE_MAX_BYTES);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    module_state *s = PyModule_GetState(module);
    Py_VISIT(s->builder);
    Py_VISIT(s->compiled);
    Py_VISIT(s->table);
    return 0;
}

static int module_clear(PyObject *module)
{
    module_state *s = PyModule_GetState(module);
    Py_CLEAR(s->builder);
    Py_CLEAR(s->compiled);
    Py_CLEAR(s->table);
    return 0;
}

static PyModuleDef_Slot slots[] = { { Py_mod_exec, module_exec }, { 0, 0 } };

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_table",
    .m_doc = "Fingerprints, compiled lists and the table file; see _table.pyi.",
    .m_size = sizeof(module_state),
    .m_methods = methods,
    .m_slots = slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
};

PyMODINIT_FUNC PyInit__table(void);
PyMODINIT_FUNC PyInit__table(void) { return PyModuleDef_Init(&definition); }
