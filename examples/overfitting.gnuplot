# Draws what examples/overfitting.cpp wrote:  gnuplot -e "folder='build/overfitting'" examples/overfitting.gnuplot
set terminal pngcairo size 1500,900 font "Sans,13" background "#ffffff"
set output folder."/overfitting.png"
set datafile separator ","
set tics out nomirror
stats folder."/held_out.csv" using 1 skip 1 nooutput
count = STATS_records
set multiplot
set key bottom left

# Above: the way of the implicit fit, and its density.
set origin 0,0.5; set size 0.4,0.5
set title "implicit score matching, step by step (cut off)"
set xlabel "step"
set logscale x
set yrange [-30:30]
plot folder."/steps.csv" using 1:2 skip 1 with lines linewidth 2.5 linecolor rgb "#20639b" title "training", \
     folder."/steps.csv" using 1:3 skip 1 with lines linewidth 2.5 linecolor rgb "#ed553b" title "held out"
unset logscale x

bin(x) = 2*floor(x/2) + 1
set xlabel "bill length [mm]"
set xrange [30:62]
set yrange [0:0.3]
set boxwidth 2
set style fill solid 0.35 noborder
set key top right
set origin 0.4,0.5; set size 0.6,0.5
set title "its density: peaks at the birds it was fitted on (cut off above)"
plot folder."/held_out.csv" using (bin($1)):(1.0/(2*count)) skip 1 smooth frequency with boxes linecolor rgb "#b0b0b0" title "held-out birds", \
     folder."/densities.csv" using 1:2 skip 1 with lines linewidth 1.5 linecolor rgb "#20639b" title "implicit", \
     folder."/training.csv" using 1:(0.004) skip 1 with points pointtype 9 pointsize 1.2 linecolor rgb "black" title "birds to fit on"

# Below: the cures.
set yrange [0:0.12]
do for [k=0:3] {
  set origin 0.25*k,0; set size 0.25,0.5
  set title (k == 0 ? "early stopping" : word("- regularised perturbed denoising", k + 1))
  unset key
  plot folder."/held_out.csv" using (bin($1)):(1.0/(2*count)) skip 1 smooth frequency with boxes linecolor rgb "#b0b0b0", \
       folder."/densities.csv" using 1:(column(3 + k)) skip 1 with lines linewidth 2.5 linecolor rgb "#3caea3", \
       folder."/training.csv" using 1:(0.0016) skip 1 with points pointtype 9 pointsize 1 linecolor rgb "black"
}
unset multiplot
