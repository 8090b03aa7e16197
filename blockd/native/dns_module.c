/* blockd.native._dns: the module. _dns.pyi says what each type promises. */
#include "dns_python.h"

static int add_type(PyObject *module, PyType_Spec *spec, const char *name, PyObject **kept)
{
    *kept = PyType_FromModuleAndSpec(module, spec, 0);
    return *kept ? PyModule_AddObjectRef(module, name, *kept) : -1;
}

static int module_exec(PyObject *module)
{
    module_state *s = PyModule_GetState(module);
    if (add_type(module, &client_spec, "Client", &s->client) != 0 || add_type(module, &ask_spec, "Ask", &s->ask) != 0
        || add_type(module, &reply_spec, "Reply", &s->reply) != 0 || add_type(module, &core_spec, "Core", &s->core) != 0
        || add_type(module, &acl_spec, "Acl", &s->acl) != 0
        || add_type(module, &udp_worker_spec, "UdpWorker", &s->udp_worker) != 0 || add_type(module, &pending_spec, "Pending", &s->pending) != 0)
        return -1;
    return PyModule_AddIntConstant(module, "QUERY_MAX_BYTES", QUESTION_MESSAGE_MAX);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    module_state *s = PyModule_GetState(module);
    Py_VISIT(s->client);
    Py_VISIT(s->ask);
    Py_VISIT(s->reply);
    Py_VISIT(s->core);
    Py_VISIT(s->acl);
    Py_VISIT(s->udp_worker);
    Py_VISIT(s->pending);
    return 0;
}

static int module_clear(PyObject *module)
{
    module_state *s = PyModule_GetState(module);
    Py_CLEAR(s->client);
    Py_CLEAR(s->ask);
    Py_CLEAR(s->reply);
    Py_CLEAR(s->core);
    Py_CLEAR(s->acl);
    Py_CLEAR(s->udp_worker);
    Py_CLEAR(s->pending);
    return 0;
}

static PyModuleDef_Slot slots[] = { { Py_mod_exec, module_exec }, { 0, 0 } };

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_dns",
    .m_doc = "Walk a message, answer what can be answered, check what comes from upstream; see _dns.pyi.",
    .m_size = sizeof(module_state),
    .m_slots = slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
};

PyMODINIT_FUNC PyInit__dns(void);
PyMODINIT_FUNC PyInit__dns(void) { return PyModuleDef_Init(&definition); }
