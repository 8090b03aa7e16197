/* build_table and check_table: build.h and table_check.h for Python. */
#include "table_python.h"

#include "build.h"
#include "table_check.h"

/* The arguments that both functions share, out of Python's hands: safe to use without the GIL while `lists` is held. */
typedef struct {
    PyObject *lists; /* a new tuple; each list in it has its user count raised */
    size_t n;
    merge_source *sources;
    int32_t **maps;
    uint8_t *kinds;
    size_t n_rules;
} merge_plan;

static void plan_free(merge_plan *p)
{
    for (size_t i = 0; i < p->n; i++) {
        if (p->maps && p->maps[i]) {
            PyObject *pair = PyTuple_GetItem(p->lists, (Py_ssize_t)i);
            ((compiled_object *)PyTuple_GetItem(pair, 0))->users--;
            free(p->maps[i]);
        }
    }
    free(p->sources);
    free(p->maps);
    free(p->kinds);
    Py_XDECREF(p->lists);
    *p = (merge_plan){ 0 };
}

static int plan_kinds(merge_plan *p, PyObject *kinds)
{
    static const uint8_t bits[KIND_END] = {
        [KIND_SUBTREE] = TABLE_SUBTREE >> 24, [KIND_ALLOW_SUBTREE] = TABLE_SUBTREE >> 24, [KIND_EXACT] = TABLE_EXACT >> 24,
        [KIND_ALLOW_EXACT] = TABLE_EXACT >> 24, [KIND_URL] = TABLE_URL >> 24, [KIND_URL_HOST] = TABLE_URL_HOST >> 24,
    };
    PyObject *tuple = PySequence_Tuple(kinds);
    if (!tuple)
        return 0;
    p->n_rules = (size_t)PyTuple_Size(tuple);
    p->kinds = p->n_rules <= MERGE_RULES_MAX ? calloc(p->n_rules + 1, 1) : 0;
    for (size_t i = 0; p->kinds && i < p->n_rules; i++) {
        long kind = PyLong_AsLong(PyTuple_GetItem(tuple, (Py_ssize_t)i));
        if (PyErr_Occurred() || kind < KIND_SUBTREE || kind >= KIND_END) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_ValueError, "a rule has an unknown kind");
            Py_DECREF(tuple);
            return 0;
        }
        p->kinds[i] = bits[kind];
    }
    Py_DECREF(tuple);
    if (!p->kinds)
        PyErr_SetString(PyExc_ValueError, "too many rules");
    return p->kinds != 0;
}

/* The numbers of a list's rules in the table. */
static int32_t *plan_map(const merge_plan *p, PyObject *numbers, uint64_t wanted)
{
    PyObject *tuple = PySequence_Tuple(numbers);
    if (!tuple)
        return 0;
    size_t n = (size_t)PyTuple_Size(tuple);
    int32_t *map = malloc((n + 1) * sizeof *map);
    int ok = map && n >= wanted;
    for (size_t i = 0; ok && i < n; i++) {
        long number = PyLong_AsLong(PyTuple_GetItem(tuple, (Py_ssize_t)i));
        ok = !PyErr_Occurred() && number >= -1 && number < (long)p->n_rules;
        map[i] = (int32_t)number;
    }
    Py_DECREF(tuple);
    if (ok)
        return map;
    free(map);
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "a list's rules do not fit the table's");
    return 0;
}

static int plan_list(merge_plan *p, size_t i, PyTypeObject *compiled)
{
    PyObject *pair = PyTuple_GetItem(p->lists, (Py_ssize_t)i);
    if (!PyTuple_Check(pair) || PyTuple_Size(pair) != 2 || Py_TYPE(PyTuple_GetItem(pair, 0)) != compiled) {
        PyErr_SetString(PyExc_TypeError, "pairs of a compiled list and its rules' numbers are wanted");
        return 0;
    }
    compiled_object *list = (compiled_object *)PyTuple_GetItem(pair, 0);
    if (!list->file.data) {
        PyErr_SetString(PyExc_ValueError, "a compiled list is closed");
        return 0;
    }
    p->maps[i] = plan_map(p, PyTuple_GetItem(pair, 1), list->view.header.n_rules);
    if (!p->maps[i])
        return 0;
    list->users++;
    p->sources[i] = (merge_source){ list->view.records, list->view.records + list->view.header.n_records, p->maps[i] };
    return 1;
}

static int plan_make(merge_plan *p, PyObject *module, PyObject *lists, PyObject *kinds)
{
    *p = (merge_plan){ 0 };
    PyTypeObject *compiled = (PyTypeObject *)((module_state *)PyModule_GetState(module))->compiled;
    int ok = plan_kinds(p, kinds) && (p->lists = PySequence_Tuple(lists)) != 0;
    if (ok && PyTuple_Size(p->lists) > MERGE_LISTS_MAX) {
        PyErr_SetString(PyExc_ValueError, "too many lists");
        ok = 0;
    }
    size_t n = ok ? (size_t)PyTuple_Size(p->lists) : 0;
    if (ok) {
        p->sources = calloc(n + 1, sizeof *p->sources);
        p->maps = calloc(n + 1, sizeof *p->maps);
        ok = (p->sources && p->maps) || PyErr_NoMemory() != 0;
    }
    for (; ok && p->n < n; p->n++)
        ok = plan_list(p, p->n, compiled);
    if (!ok)
        plan_free(p);
    return ok;
}

static PyObject *merge_error(const char *wrong, int error, PyObject *path)
{
    if (error)
        return python_os_error(error, path);
    if (strcmp(wrong, "out of memory") == 0)
        return PyErr_NoMemory();
    PyErr_SetString(PyExc_ValueError, wrong);
    return 0;
}

PyObject *module_build_table(PyObject *module, PyObject *args)
{
    PyObject *path_object, *key_bytes, *lists, *kinds, *result = 0;
    Py_buffer rules;
    uint8_t key[16];
    merge_plan p;
    if (!PyArg_ParseTuple(args, "O&SOy*O:build_table", PyUnicode_FSConverter, &path_object, &key_bytes, &lists, &rules, &kinds))
        return 0;
    if (python_key(key_bytes, key) && plan_make(&p, module, lists, kinds)) {
        build_plan plan = { p.sources, p.n, p.kinds, p.n_rules, rules.buf, (size_t)rules.len, sip_key_from(key) };
        const char *path = PyBytes_AsString(path_object), *wrong;
        uint64_t entries = 0;
        int error;
        Py_BEGIN_ALLOW_THREADS
        wrong = build_table_file(&plan, path, &entries, &error);
        Py_END_ALLOW_THREADS
        plan_free(&p);
        result = wrong ? merge_error(wrong, error, path_object) : PyLong_FromUnsignedLongLong(entries);
    }
    PyBuffer_Release(&rules);
    Py_DECREF(path_object);
    return result;
}

PyObject *module_check_table(PyObject *module, PyObject *args)
{
    PyObject *table, *lists, *kinds;
    module_state *state = PyModule_GetState(module);
    const char *wrong;
    merge_plan p;
    if (!PyArg_ParseTuple(args, "O!OO:check_table", (PyTypeObject *)state->table, &table, &lists, &kinds))
        return 0;
    table_object *t = (table_object *)table;
    if (!t->file.data) {
        PyErr_SetString(PyExc_ValueError, "the table is closed");
        return 0;
    }
    if (!plan_make(&p, module, lists, kinds))
        return 0;
    t->users++;
    Py_BEGIN_ALLOW_THREADS
    wrong = table_covers(&t->view, p.sources, p.n, p.kinds);
    Py_END_ALLOW_THREADS
    t->users--;
    plan_free(&p);
    if (wrong)
        return merge_error(wrong, 0, Py_None);
    Py_RETURN_NONE;
}
