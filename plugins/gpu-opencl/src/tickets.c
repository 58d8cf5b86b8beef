/* SPDX-License-Identifier: Apache-2.0 */
/* Runs are waited for by the event of their last command. A wait has a deadline, which OpenCL's own
 * lacks: a callback of the event ends it. Nothing here takes memory. */
#include "ocl.h"

#include <time.h>

#define SECONDS_TO_END 10

bool ocl_tickets_init(ocl_tickets *tickets, const ocl_api *api) {
    pthread_condattr_t attributes;
    tickets->api = api;
    for (uint32_t i = 0; i < OCL_TICKETS_MOST; i++) {
        tickets->slots[i].all = tickets;
    }
    if (pthread_condattr_init(&attributes) != 0) {
        return false;
    }
    bool is_made = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
                   pthread_cond_init(&tickets->changed, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    if (is_made && pthread_mutex_init(&tickets->lock, NULL) != 0) {
        pthread_cond_destroy(&tickets->changed);
        is_made = false;
    }
    return is_made;
}

/* The run is done; under the lock. */
static void end(ocl_ticket *ticket, cl_int result) {
    ticket->result = result;
    ticket->is_watched = false;
    if (ticket->event != NULL) {
        ticket->all->api->clReleaseEvent(ticket->event);
        ticket->event = NULL;
    }
}

/* True when it is done. Under the lock; a watched one ends in its callback alone. */
static bool is_over(ocl_ticket *ticket) {
    if (ticket->event == NULL || ticket->is_watched) {
        return ticket->event == NULL;
    }
    cl_int state = CL_QUEUED;
    cl_int code = ticket->all->api->clGetEventInfo(ticket->event, CL_EVENT_COMMAND_EXECUTION_STATUS,
                                                   sizeof(state), &state, NULL);
    if (code != CL_SUCCESS || state <= CL_COMPLETE) {
        end(ticket, code != CL_SUCCESS ? code : state);
        return true;
    }
    return false;
}

static void CL_CALLBACK on_done(cl_event event, cl_int result, void *user) {
    ocl_ticket *ticket = user;
    ocl_tickets *tickets = ticket->all;
    (void)event;
    pthread_mutex_lock(&tickets->lock);
    end(ticket, result);
    pthread_cond_broadcast(&tickets->changed);
    pthread_mutex_unlock(&tickets->lock);
}

/* Has a callback come. Under the lock, which is free meanwhile: it may come at once. */
static void watch(ocl_ticket *ticket) {
    ocl_tickets *tickets = ticket->all;
    ticket->is_watched = true;
    cl_event event = ticket->event;
    pthread_mutex_unlock(&tickets->lock);
    cl_int code = tickets->api->clSetEventCallback(event, CL_COMPLETE, on_done, ticket);
    pthread_mutex_lock(&tickets->lock);
    if (code != CL_SUCCESS) {
        end(ticket, CL_INVALID_EVENT); /* nobody can tell when it is done: lost */
    }
}

bool ocl_tickets_is_over(ocl_tickets *tickets, uint64_t number) {
    pthread_mutex_lock(&tickets->lock);
    ocl_ticket *ticket = &tickets->slots[number % OCL_TICKETS_MOST];
    bool over = ticket->number != number || is_over(ticket);
    pthread_mutex_unlock(&tickets->lock);
    return over;
}

bool ocl_tickets_has_room(ocl_tickets *tickets) {
    pthread_mutex_lock(&tickets->lock);
    bool has_room = is_over(&tickets->slots[(tickets->newest + 1) % OCL_TICKETS_MOST]);
    pthread_mutex_unlock(&tickets->lock);
    return has_room;
}

uint64_t ocl_tickets_add(ocl_tickets *tickets, cl_event event) {
    pthread_mutex_lock(&tickets->lock);
    uint64_t number = ++tickets->newest;
    ocl_ticket *ticket = &tickets->slots[number % OCL_TICKETS_MOST];
    ticket->number = number;
    ticket->event = event;
    ticket->result = CL_COMPLETE;
    pthread_mutex_unlock(&tickets->lock);
    return number;
}

static sy_status wait_locked(ocl_ticket *ticket, uint64_t deadline_ns) {
    ocl_tickets *tickets = ticket->all;
    if (!is_over(ticket) && !ticket->is_watched) {
        watch(ticket);
    }
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000u),
                             .tv_nsec = (long)(deadline_ns % 1000000000u)};
    while (ticket->event != NULL) {
        if (deadline_ns == 0) {
            pthread_cond_wait(&tickets->changed, &tickets->lock);
        } else if (pthread_cond_timedwait(&tickets->changed, &tickets->lock, &until) != 0 &&
                   ticket->event != NULL) {
            return SY_DEADLINE_EXCEEDED;
        }
    }
    return SY_OK;
}

sy_status ocl_tickets_wait(ocl_tickets *tickets, uint64_t number, uint64_t deadline_ns,
                           cl_int *out_result) {
    pthread_mutex_lock(&tickets->lock);
    ocl_ticket *ticket = &tickets->slots[number % OCL_TICKETS_MOST];
    sy_status status = SY_OK;
    cl_int result = CL_COMPLETE; /* of one so old that its place was taken: that ended well */
    if (number == 0 || number > tickets->newest) {
        status = SY_INVALID_ARGUMENT;
    } else if (ticket->number == number) {
        status = wait_locked(ticket, deadline_ns);
        result = ticket->result;
    }
    pthread_mutex_unlock(&tickets->lock);
    if (status == SY_OK) {
        *out_result = result;
    }
    return status;
}

bool ocl_tickets_deinit(ocl_tickets *tickets) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t deadline_ns =
        ((uint64_t)now.tv_sec + SECONDS_TO_END) * 1000000000u + (uint64_t)now.tv_nsec;
    bool all_done = true;
    pthread_mutex_lock(&tickets->lock);
    for (uint32_t i = 0; i < OCL_TICKETS_MOST; i++) {
        all_done = wait_locked(&tickets->slots[i], deadline_ns) == SY_OK && all_done;
    }
    pthread_mutex_unlock(&tickets->lock);
    if (all_done) {
        pthread_mutex_destroy(&tickets->lock);
        pthread_cond_destroy(&tickets->changed);
    }
    return all_done;
}
