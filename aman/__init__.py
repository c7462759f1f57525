"""AMAN: attention-based magnification-adaptive networks (Wei et al., ICASSP 2022), the method alone.

Arrays and tables in, arrays and tables out: no network, no Ray, no MLflow, no boto3. Shape letters, everywhere:
`B` clips in a batch, `T` raw frames, `L` interpolated frames (20), `N` sampled frames, `K` factors, `C H W`,
`D` features (512).
"""
