"""What all rules are given: the fingerprint of their code, a look at their seals, what a cluster is asked for."""

from functools import cache

from snakemake.jobs import Job
from snakemake.persistence import PersistenceBase

from sightline import provenance, runs, shards
from sightline.running import jobs, leases, partitions, seals
from sightline.study import picked as study_picked
from sightline.study import resources as study_resources
from sightline.watching import wanted


onstart:
    try:
        runs.begin(f"results/{study.name}")
        seals.check_standing(standing)
        provenance.keep(Path(f"results/{study.name}"), code_used)
    except SightlineError as error:
        raise WorkflowError(str(error)) from None


def stamp_every_rule():
    """Give every rule the fingerprint of the code that its jobs run, and hold results against their seals."""
    for stage in workflow.rules:
        if stage.script:

            def code(wildcards, stage=stage):
                fingerprint = fingerprint_of(*code_of(stage, wildcards))
                code_used[fingerprint] = lambda: provenance.parts(*code_of(stage, wildcards))
                return fingerprint

            def stale(wildcards, stage=stage):
                return force_if_stale(stage, wildcards)

            stage.set_params(code=code)
            stage.set_input(stale=stale)


# worked out once for the jobs that run the same code: there are thousands of jobs, and dozens of codes
fingerprint_of = cache(provenance.fingerprint)
# fingerprint -> what tells its parts, of every job that was planned
code_used = {}
# output that the plan found as it is to be -> when it was sealed
standing = {}


def force_if_stale(stage, wildcards):
    """Rerun a job whose outputs' seals name other code or params, also where Snakemake has no record of it.

    And one that read a file from outside which holds something else by now, although its time is older.
    Consulted as an input that is always empty: Snakemake asks for a job's inputs before it decides what to run.
    """
    if workflow.is_main_process:
        outputs, params = outputs_of(stage, wildcards), params_of(stage, wildcards)
        # with a seal alone it was deleted; without one its job was killed before it came to its end
        begun = {path for path in outputs if Path(path).exists() or seals.seal_path(path).exists()}
        stale = {path for path in begun if seals.why_stale(path, params)}
        standing.update((path, seals.sealed_at(path)) for path in begun - stale)
        workflow.dag.forcefiles |= stale or (set(outputs) if seals.changed_sources(outputs[0]) else set())
        if was_finished(outputs, params):
            for output in stage.output:
                workflow.persistence.cleanup_metadata(output.apply_wildcards(wildcards))
        log = [str(file.apply_wildcards(wildcards)) for file in stage.log]
        wanted.note(stage.name, outputs, log[0], params, lambda: provenance.parts(*code_of(stage, wildcards)))
    return []


def was_finished(outputs, params):
    """Whether a job that Snakemake, killed meanwhile, knows as begun has come to its end: its costs come last."""
    return (
        bool(workflow.persistence._filter_incomplete_keys(outputs))
        and jobs.costs_path(outputs[0]).exists()
        and all(seals.stands(output, params) for output in outputs)
    )


def code_of(stage, wildcards):
    """The script of a job, the project's folder and the modules that the job picks by name."""
    return (
        ROOT / "scripts" / Path(stage.script).name,
        ROOT,
        tuple(study_picked.modules(study, stage.name, wildcards)),
    )


def params_of(stage, wildcards):
    """A job's params by name."""
    return {name: value(wildcards) if callable(value) else value for name, value in stage.params._allitems()}


def outputs_of(stage, wildcards):
    """The paths of a job's outputs."""
    return [str(output.apply_wildcards(wildcards)) for output in stage.output]


def stale_outputs(stage, wildcards):
    """The outputs of a job that are not there, or not as its params and code would make them."""
    params = params_of(stage, wildcards)
    return [path for path in outputs_of(stage, wildcards) if seals.why_stale(path, params)]


def size_every_rule():
    """Give every rule what its jobs ask a cluster for, but for what `--set-resources` says of it."""
    here = gpus_here()
    if here and "gpu" not in workflow.global_resources:
        workflow.register_resource("gpu", here)  # as `--resources gpu=<here>`
    for stage in workflow.rules:
        computing = dict(stage.params._allitems()).get("threads")
        joins = sharding.of_rule(study, stage.name) > 1

        def cores(wildcards, threads, computing=computing, joins=joins):
            return study_resources.cores(1 if joins else threads, computing)

        def asked(what, unit, stage=stage, joins=joins):
            def size(wildcards, input, attempt, threads):
                read = input.get("shards") if joins else input
                folder = Path(f"results/{study.name}")
                work = study_resources.measured(study, stage.name, folder, read, threads)
                return what(stage.name, work, attempt_of(stage, attempt), getattr(offer_to(stage), unit))

            return size

        own = workflow.resource_settings.overwrite_resources.get(stage.name, {})
        sized = {
            "mem_mb": asked(study_resources.megabytes, "megabytes"),
            "runtime": asked(study_resources.minutes, "minutes"),
            "cpus_per_task": cores,
        }
        if "device" in stage.resources:
            # who names a GPU in SLURM's words (gres=gpu:a100:1) has asked for it; one that joins computes nothing
            named = "gpu" in str(stage.resources["gres"].raw) if "gres" in stage.resources else False
            device = stage.resources["device"].raw
            device = os.environ.get("SIGHTLINE_DEVICE", device) if device == "auto" else device
            sized["gpu"] = 0 if joins or named else study_resources.gpus(device, here)
        stage.resources.update({name: value for name, value in sized.items() if name not in own})


def elsewhere():
    """Whether this Snakemake has jobs run on a cluster."""
    return workflow.is_main_process and workflow.global_resources["_nodes"].value is not None


def gpus_here():
    """How many GPUs the jobs share that run on this machine; none where jobs run on a cluster."""
    unused = os.environ.get("SIGHTLINE_DEVICE") == "cpu"
    return 0 if elsewhere() or unused or not workflow.is_main_process else len(leases.found().gpus)


def attempt_of(stage, attempt):
    """The attempt for which a job of `stage` asks: the highest of those that an array may take together."""
    arrays = getattr(workflow.executor_settings, "array_jobs", None) or ""
    if not {stage.name, "all"} & {name.strip() for name in arrays.split(",")}:
        return attempt
    ready = [job.attempt for job in list(workflow.dag.ready_jobs) if job.rule is stage]
    return study_resources.together(attempt, ready)


def offer_to(stage):
    """The most that jobs of `stage` may ask for: what its partition has; any, where the plugin chooses it."""
    if not elsewhere():
        return partitions.Offer()
    settings = workflow.executor_settings
    chooses = getattr(settings, "partition_config", None) or "SNAKEMAKE_SLURM_PARTITIONS" in os.environ
    named = stage.resources["slurm_partition"].raw if "slurm_partition" in stage.resources else None
    every = ",".join(offered())
    return partitions.of(offered(), named or (every if chooses else None))


offered = cache(partitions.offered)  # asked once


def keep_shards_out_of_records():
    """Leave shards out of what Snakemake records of a job's inputs: how many there were changes no result."""
    recorded = PersistenceBase._input

    def without_shards(records, job):
        return [path for path in recorded(records, job) if not shards.is_part(path)]

    PersistenceBase._input = without_shards


def leave_outputs_to_the_sender():
    """Let no Snakemake between a cluster and a job remove what a failed job left: it may be a later run's by now.

    The Snakemake that sent the job removes it, if that still lives; what stays has no seal.
    """

    async def remove_nothing(job, skip_outputs):
        return None

    Job.cleanup = remove_nothing


stamp_every_rule()
size_every_rule()
keep_shards_out_of_records()
if not workflow.is_main_process:
    leave_outputs_to_the_sender()
