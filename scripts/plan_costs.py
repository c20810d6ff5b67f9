"""Say what explaining will take, and stop the study where that is more than its limits."""

from sightline import tables
from sightline.explanation import forecasting
from sightline.models import device
from sightline.running import jobs


def plan_costs(inputs, params, chosen_device: str):
    """Table 'planned_costs', shown on the terminal. Raises `ConfigError` where a limit is passed."""
    chosen = device.named(chosen_device, jobs.tell)
    networks = {
        name: forecasting.Network(**model, micro_batch=params.micro_batch, device=chosen)
        for name, model in params.models.items()
    }
    datasets = {
        name: forecasting.Dataset(tables.read("images", images), tables.read("labels", labels), fit)
        for (name, fit), images, labels in zip(
            params.datasets.items(), inputs.images, inputs.labels, strict=True
        )
    }
    planned = forecasting.forecast(params.alike, networks, datasets, params.batch)
    jobs.tell(forecasting.as_text(planned))
    forecasting.check(planned, params.max_hours, params.max_storage_gb)
    return planned


if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        planned = plan_costs(snakemake.input, snakemake.params, snakemake.resources.device)
        tables.write("planned_costs", planned, snakemake.output[0])
