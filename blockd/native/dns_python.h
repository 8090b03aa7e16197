/* What the C files of blockd.native._dns share. The work itself is in headers that know nothing of Python. */
#ifndef BLOCKD_DNS_PYTHON_H
#define BLOCKD_DNS_PYTHON_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <sys/socket.h>
#include <time.h>

#include "worker.h"

typedef struct {
    PyObject *client, *ask, *reply, *core, *acl, *udp_worker, *pending; /* the types */
} module_state;

typedef struct worker_object worker_object;

typedef struct {
    PyObject_HEAD
    dns_core core; /* of Python's own calls */
    shared_cache shared;
    worker_object *workers; /* that answer from this core; they hold a reference to it */
    uint8_t *answer; /* ANSWER_MAX octets: where an answer is written before it becomes bytes */
    core_work work;
    Py_buffer slab, table; /* .obj is 0 when there is none */
} core_object;

struct worker_object {
    PyObject_HEAD
    core_object *core;
    worker_object *next;
    PyObject *list; /* the Acl in use */
    worker *w;
};

typedef struct {
    PyObject_HEAD
    asked a; /* its client is not used here */
    uint8_t transport;
    PyObject *hits;
} ask_object;

typedef struct {
    PyObject_HEAD
    reply r;
    fingerprint key;
    uint32_t epoch;
    uint8_t speaks, kept;
    uint8_t *body; /* r.size - the question's octets; 0 when empty */
    PyObject *hits;
} reply_object;

typedef struct {
    PyObject_HEAD
    acl list;
} acl_object;

/* Where an answer goes. Nothing of it can be read from Python. */
typedef struct {
    PyObject_HEAD
    udp_client where;
    PyObject *door; /* the UdpWorker that it came by */
} client_object;

extern PyType_Spec client_spec, ask_spec, reply_spec, core_spec, acl_spec, udp_worker_spec, pending_spec;

static inline module_state *python_state(PyObject *object) { return PyType_GetModuleState(Py_TYPE(object)); }

/* Free an object. No type here is tracked by the collector: none can be part of a cycle. */
static inline void python_free(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

/* Each returns 0 with an exception set when the argument is not what it should be. */
int python_core(PyObject *object, module_state *state, core_object **out);
int python_ask(PyObject *object, module_state *state, ask_object **out);
int python_milliseconds(PyObject *number, uint64_t *out);
int python_door(int transport, int family);

/* A new Ask, or 0 with an exception. `question` holds q->end octets. */
PyObject *ask_new(module_state *state, const asked *a, unsigned transport);
/* (Ask, Client), appended to `list`. Returns 0 with an exception. */
int python_append(module_state *state, PyObject *list, const asked *a, PyObject *door);
/* Send (Client, bytes) pairs that came by `door`. Returns how many went, or 0 with an exception. */
PyObject *python_send(module_state *state, PyObject *door, PyObject *answers, const worker_door *doors, udp_batch *b);
PyObject *ask_hits(const verdict_hits *h);

/* dns_swap.c */
PyObject *core_configure(PyObject *object, PyObject *args, PyObject *kwargs);
PyObject *core_swap(PyObject *object, PyObject *args, PyObject *kwargs);
PyObject *core_add_verdict(PyObject *object, PyObject *args, PyObject *kwargs);
void core_release_policy(core_object *self);

/* Between these two no worker works on a batch, and what is in force may change; then each has it. */
void core_hold(core_object *self);
void core_give(core_object *self);

/* dns_answer.c */
PyObject *core_py_handle(PyObject *object, PyObject *args);
PyObject *core_py_prohibit(PyObject *object, PyObject *args);
PyObject *core_py_known(PyObject *object, PyObject *args);
PyObject *core_py_stale(PyObject *object, PyObject *args);
PyObject *core_py_reached(PyObject *object, PyObject *number);
PyObject *core_py_blocked(PyObject *object, PyObject *args);
PyObject *core_py_note(PyObject *object, PyObject *number);
PyObject *core_py_failure(PyObject *object, PyObject *args);
PyObject *core_py_walk_reply(PyObject *object, PyObject *args);
PyObject *core_py_keep(PyObject *object, PyObject *args);
PyObject *core_py_finish(PyObject *object, PyObject *args);
PyObject *core_py_remember_failure(PyObject *object, PyObject *args);

#endif
