/* What the C files of blockd.native._dns share. The work itself is in headers that know nothing of Python. */
#ifndef BLOCKD_DNS_PYTHON_H
#define BLOCKD_DNS_PYTHON_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <sys/socket.h>
#include <time.h>

#include "acl.h"
#include "core.h"
#include "pending.h"

typedef struct {
    PyObject *client, *ask, *reply, *core, *acl, *udp_door, *pending; /* the types */
} module_state;

typedef struct {
    PyObject_HEAD
    dns_core core;
    uint8_t *answer; /* ANSWER_MAX octets: where an answer is written before it becomes bytes */
    Py_buffer slab, table; /* .obj is 0 when there is none */
} core_object;

typedef struct {
    PyObject_HEAD
    dns_question q;
    uint8_t question[QUESTION_BYTES_MAX]; /* header and question as they came */
    uint8_t transport, why;               /* why: CORE_ASK_MISS or CORE_ASK_HITS */
    fingerprint key;
    uint64_t since_ns;
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

enum { CLIENT_CONTROL_BYTES = 64 };

/* Where an answer goes. Nothing of it can be read from Python. */
typedef struct {
    PyObject_HEAD
    struct sockaddr_storage address;
    socklen_t address_bytes;
    uint8_t control[CLIENT_CONTROL_BYTES]; /* the address that was asked, as a control message */
    size_t control_bytes;
} client_object;

extern PyType_Spec client_spec, ask_spec, reply_spec, core_spec, acl_spec, udp_door_spec, pending_spec;

static inline module_state *python_state(PyObject *object) { return PyType_GetModuleState(Py_TYPE(object)); }

static inline uint64_t python_clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

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
PyObject *ask_new(module_state *state, const dns_core *core, const dns_question *q, const uint8_t *question, unsigned transport, const core_outcome *o, uint64_t since_ns);
PyObject *ask_hits(const verdict_hits *h);

/* dns_swap.c */
PyObject *core_configure(PyObject *object, PyObject *args, PyObject *kwargs);
PyObject *core_swap(PyObject *object, PyObject *args, PyObject *kwargs);
PyObject *core_add_verdict(PyObject *object, PyObject *args, PyObject *kwargs);
void core_release_policy(core_object *self);

/* dns_answer.c */
PyObject *core_py_handle(PyObject *object, PyObject *args);
PyObject *core_py_prohibit(PyObject *object, PyObject *args);
PyObject *core_py_known(PyObject *object, PyObject *args);
PyObject *core_py_blocked(PyObject *object, PyObject *args);
PyObject *core_py_note(PyObject *object, PyObject *number);
PyObject *core_py_failure(PyObject *object, PyObject *args);
PyObject *core_py_walk_reply(PyObject *object, PyObject *args);
PyObject *core_py_finish(PyObject *object, PyObject *args);
PyObject *core_py_remember_failure(PyObject *object, PyObject *args);

#endif
