/*
 * A trial of a provider, for an administrator: its list of models is asked for with each of its keys' turn, and, when a
 * model is named, a call of a few tokens is made where its adapter would make a client's. Real calls, outside of any
 * bill: the operator pays for them.
 */
#ifndef PROVIDERSVC_TRIAL_H
#define PROVIDERSVC_TRIAL_H

#include "services/svc.h"

/* Handler of provider_test_req. */
enum status providersvc_trial(struct svc_call *call, const void *in, void *out);

#endif
