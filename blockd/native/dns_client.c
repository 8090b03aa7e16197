/* Client: where an answer goes. And what doors of every kind do with it: append what they leave to Python, send what Python answers. */
#include "dns_python.h"

static void client_dealloc(PyObject *object)
{
    Py_XDECREF(((client_object *)object)->door);
    python_free(object);
}

static PyType_Slot client_slots[] = {
    { Py_tp_doc, "Where an answer goes. Opaque." },
    { Py_tp_dealloc, client_dealloc },
    { 0, 0 },
};

PyType_Spec client_spec = {
    .name = "blockd.native._dns.Client",
    .basicsize = sizeof(client_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = client_slots,
};

int python_append(module_state *state, PyObject *list, const asked *a, PyObject *door)
{
    PyObject *ask = ask_new(state, a, TRANSPORT_UDP);
    client_object *client = ask ? (client_object *)PyType_GenericAlloc((PyTypeObject *)state->client, 0) : 0;
    PyObject *pair = client ? PyTuple_Pack(2, ask, (PyObject *)client) : 0;
    if (pair) {
        client->where = a->client;
        client->door = Py_NewRef(door);
    }
    int done = pair && PyList_Append(list, pair) == 0;
    Py_XDECREF(pair);
    Py_XDECREF((PyObject *)client);
    Py_XDECREF(ask);
    return done;
}

/* The parts of one (Client, bytes). The pair keeps both alive. Returns 0 with an exception. */
static client_object *pair_parts(module_state *state, PyObject *door, PyObject *pair, char **bytes, Py_ssize_t *size)
{
    PyObject *client = PyTuple_Check(pair) && PyTuple_Size(pair) == 2 ? PyTuple_GetItem(pair, 0) : 0;
    if (!client || !Py_IS_TYPE(client, (PyTypeObject *)state->client) || ((client_object *)client)->door != door) {
        PyErr_SetString(PyExc_TypeError, "not a (Client, bytes) of this door");
        return 0;
    }
    return PyBytes_AsStringAndSize(PyTuple_GetItem(pair, 1), bytes, size) == 0 ? (client_object *)client : 0;
}

static unsigned flush(const worker_door *doors, udp_batch *b, unsigned door, unsigned n)
{
    return n && __atomic_load_n(&doors[door].state, __ATOMIC_ACQUIRE) != DOOR_FREE ? udp_send(b, doors[door].fd, n) : 0;
}

PyObject *python_send(module_state *state, PyObject *door, PyObject *answers, const worker_door *doors, udp_batch *b)
{
    PyObject *tuple = PySequence_Tuple(answers); /* nothing can change it under us */
    unsigned sent = 0, laid = 0, at = 0;
    if (!tuple)
        return 0;
    Py_ssize_t n = PyTuple_Size(tuple);
    for (Py_ssize_t i = 0; i < n; i++) {
        char *bytes;
        Py_ssize_t size;
        client_object *client = pair_parts(state, door, PyTuple_GetItem(tuple, i), &bytes, &size);
        if (!client)
            break;
        if (laid == UDP_BATCH || (laid && at != client->where.door)) {
            sent += flush(doors, b, at, laid);
            laid = 0;
        }
        at = client->where.door;
        udp_lay(b, laid++, &client->where.address, client->where.address_bytes, client->where.control, client->where.control_bytes, bytes, (size_t)size);
    }
    sent += flush(doors, b, at, laid);
    Py_DECREF(tuple);
    return PyErr_Occurred() ? 0 : PyLong_FromUnsignedLong(sent);
}
