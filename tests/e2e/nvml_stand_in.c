/* A stand-in for NVIDIA's libnvidia-ml.so.1 with the C interface that flyball and pynvml call.
 *
 * It answers from the text file named by NVML_STAND_IN, read anew at every call, so that a test can move the world:
 *   device INDEX TOTAL_BYTES NAME            process INDEX KIND PID BYTES      (KIND: Compute, Graphics, MPSCompute; -1: n/a)
 *   rate INDEX PERCENT                       utilization INDEX PID TIMESTAMP PERCENT
 *   error FUNCTION CODE                      (that function fails with that NVML code)
 * Layouts and codes follow NVIDIA's published NVML reference; no code of NVIDIA's is used.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long u64;
typedef struct { unsigned pid; u64 used; unsigned gpu_instance, compute_instance; } process_info;
typedef struct { unsigned pid; u64 timestamp; unsigned sm, memory, encoder, decoder; } process_utilization;
typedef struct { u64 total, free, used; } memory_info;
typedef struct { unsigned gpu, memory; } rates;
enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };

static int handles[64];

static FILE *state(void) {
    const char *path = getenv("NVML_STAND_IN");
    return path ? fopen(path, "r") : NULL;
}

static int failure(const char *function) {
    char line[512], name[128];
    int code, found = SUCCESS;
    FILE *file = state();
    if (!file) return 9; /* NVML_ERROR_DRIVER_NOT_LOADED */
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "error %127s %d", name, &code) == 2 && !strcmp(name, function)) found = code;
    fclose(file);
    return found;
}
#define FAIL_AS_TOLD do { int code_ = failure(__func__); if (code_) return code_; } while (0)

int nvmlInit_v2(void) { FAIL_AS_TOLD; return SUCCESS; }
int nvmlInitWithFlags(unsigned flags) { (void)flags; FAIL_AS_TOLD; return SUCCESS; }
int nvmlShutdown(void) { FAIL_AS_TOLD; return SUCCESS; }
const char *nvmlErrorString(int code) { (void)code; return "stand-in error"; }

int nvmlDeviceGetCount_v2(unsigned *count) {
    char line[512]; int index; u64 total;
    FAIL_AS_TOLD;
    FILE *file = state();
    *count = 0;
    while (fgets(line, sizeof line, file)) *count += sscanf(line, "device %d %llu", &index, &total) == 2;
    fclose(file);
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    FAIL_AS_TOLD;
    if (index >= 64) return INVALID_ARGUMENT;
    handles[index] = (int)index;
    *handle = &handles[index];
    return SUCCESS;
}

static int device_line(int wanted, u64 *total, char *name) {
    char line[512]; int index, found = 0;
    FILE *file = state();
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "device %d %llu %127[^\n]", &index, total, name) == 3 && index == wanted) { found = 1; break; }
    if (file) fclose(file);
    return found;
}

int nvmlDeviceGetName(void *device, char *name, unsigned length) {
    u64 total; char text[128];
    FAIL_AS_TOLD;
    if (!device_line(*(int *)device, &total, text)) return NOT_FOUND;
    if (strlen(text) >= length) return INSUFFICIENT_SIZE;
    strcpy(name, text);
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(void *device, memory_info *memory) {
    u64 total; char text[128];
    FAIL_AS_TOLD;
    if (!device_line(*(int *)device, &total, text)) return NOT_FOUND;
    memory->total = total; memory->used = 0; memory->free = total;
    return SUCCESS;
}

static int processes(void *device, const char *kind, unsigned *count, process_info *out) {
    char line[512], its_kind[32]; int index; unsigned pid, n = 0; long long bytes;
    FILE *file = state();
    if (!file) return 9;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "process %d %31s %u %lld", &index, its_kind, &pid, &bytes) != 4) continue;
        if (index != *(int *)device || strcmp(its_kind, kind)) continue;
        if (out && n < *count) {
            out[n].pid = pid; out[n].used = (u64)bytes;
            out[n].gpu_instance = out[n].compute_instance = 0xFFFFFFFFu;
        }
        n++;
    }
    fclose(file);
    int room = out ? n <= *count : n == 0;
    *count = n;
    return room ? SUCCESS : INSUFFICIENT_SIZE;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *d, unsigned *n, process_info *out) { FAIL_AS_TOLD; return processes(d, "Compute", n, out); }
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *d, unsigned *n, process_info *out) { FAIL_AS_TOLD; return processes(d, "Graphics", n, out); }
int nvmlDeviceGetMPSComputeRunningProcesses_v3(void *d, unsigned *n, process_info *out) { FAIL_AS_TOLD; return processes(d, "MPSCompute", n, out); }

int nvmlDeviceGetProcessUtilization(void *device, process_utilization *out, unsigned *count, u64 since) {
    char line[512]; int index; unsigned pid, percent, n = 0; u64 timestamp;
    FAIL_AS_TOLD;
    FILE *file = state();
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "utilization %d %u %llu %u", &index, &pid, &timestamp, &percent) != 4) continue;
        if (index != *(int *)device || timestamp <= since) continue;
        if (out && n < *count) {
            memset(&out[n], 0, sizeof out[n]);
            out[n].pid = pid; out[n].timestamp = timestamp; out[n].sm = percent;
        }
        n++;
    }
    fclose(file);
    if (!n) return NOT_FOUND;
    int room = out && n <= *count;
    *count = n;
    return room ? SUCCESS : INSUFFICIENT_SIZE;
}

int nvmlDeviceGetUtilizationRates(void *device, rates *out) {
    char line[512]; int index, found = 0; unsigned percent;
    FAIL_AS_TOLD;
    FILE *file = state();
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "rate %d %u", &index, &percent) == 2 && index == *(int *)device) { out->gpu = percent; out->memory = 0; found = 1; }
    fclose(file);
    return found ? SUCCESS : NOT_SUPPORTED;
}
