/* What the C files of blockd.native._table share. The work itself is in headers that know nothing of Python. */
#ifndef BLOCKD_TABLE_PYTHON_H
#define BLOCKD_TABLE_PYTHON_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "compiled_list.h"
#include "mapped_file.h"
#include "table.h"

typedef struct {
    PyObject *builder, *compiled, *table; /* the types */
} module_state;

/* terms.Kind; the numbers are in compiled lists and never change. */
enum { KIND_SUBTREE = 1, KIND_EXACT, KIND_URL, KIND_ALLOW_SUBTREE, KIND_ALLOW_EXACT, KIND_URL_HOST, KIND_END };

typedef struct {
    PyObject_HEAD
    mapped_file file;
    list_view view;
    Py_ssize_t users; /* threads that read it without the GIL */
} compiled_object;

typedef struct {
    PyObject_HEAD
    mapped_file file;
    table_view view;
    Py_ssize_t users; /* exported buffers, and threads that read it without the GIL */
} table_object;

extern PyType_Spec builder_spec, compiled_spec, table_spec;

/* Each returns 0 with an exception set when the object is not what it should be. */
int python_key(PyObject *bytes, uint8_t key[16]);
int python_name(const Py_buffer *wire, dns_name *name);
int python_uint32(unsigned long long value, const char *what, uint32_t *out);
PyObject *python_fingerprint(fingerprint f);
PyObject *python_os_error(int error, PyObject *path);

PyObject *module_build_table(PyObject *module, PyObject *args);
PyObject *module_check_table(PyObject *module, PyObject *args);

#endif
