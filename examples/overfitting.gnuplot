# Draws what examples/overfitting.cpp wrote:  gnuplot -e "folder='build/overfitting'" examples/overfitting.gnuplot
set terminal pngcairo size 1500,900 font "Sans,13" background "#ffffff"
set output folder."/overfitting.png"
set datafile separator ","
set tics out nomirror
stats folder."/held_out.csv" using 1 skip 1 nooutput
count = STATS_records
set multiplot
set tmargin at screen 0.935; set bmargin at screen 0.59

# Above: the way of the implicit fit, and its density.
set lmargin at screen 0.06; set rmargin at screen 0.375
set title "implicit score matching, step by step (cut off)"
set xlabel "step"
set ylabel "implicit loss" offset 0.5,0
set logscale x
set xrange [1:3000]
set yrange [-30:30]
set key bottom left
plot folder."/steps.csv" using 1:2 skip 1 with lines linewidth 2.5 linecolor rgb "#20639b" title "training", \
     folder."/steps.csv" using 1:3 skip 1 with lines linewidth 2.5 linecolor rgb "#ed553b" title "held out"
unset logscale x

bin(x) = 2*floor(x/2) + 1
set xlabel "bill length [mm]"
set ylabel "density [1/mm]"
set xrange [30:62]
set yrange [0:0.3]
set boxwidth 2
set style fill solid 0.35 noborder
set key top right
set lmargin at screen 0.455; set rmargin at screen 0.985
set title "its density: peaks at the birds it was fitted on (cut off above)"
plot folder."/held_out.csv" using (bin($1)):(1.0/(2*count)) skip 1 smooth frequency with boxes linecolor rgb "#b0b0b0" title "held-out birds", \
     folder."/densities.csv" using 1:2 skip 1 with lines linewidth 1.5 linecolor rgb "#20639b" title "implicit", \
     folder."/training.csv" using 1:(0.004) skip 1 with points pointtype 9 pointsize 1.2 linecolor rgb "black" title "birds to fit on"

# Below: the cures.
set tmargin at screen 0.44; set bmargin at screen 0.095
set yrange [0:0.1]
set ytics 0.02
unset key
do for [k=0:3] {
  set lmargin at screen 0.06 + 0.2365*k; set rmargin at screen 0.2755 + 0.2365*k
  set title (k == 0 ? "early stopping" : word("- regularised perturbed denoising", k + 1))
  set ylabel k == 0 ? "density [1/mm]" : "" offset 0.7,0
  set format y k == 0 ? "%g" : ""
  plot folder."/held_out.csv" using (bin($1)):(1.0/(2*count)) skip 1 smooth frequency with boxes linecolor rgb "#b0b0b0", \
       folder."/densities.csv" using 1:(column(3 + k)) skip 1 with lines linewidth 2.5 linecolor rgb "#3caea3", \
       folder."/training.csv" using 1:(0.0014) skip 1 with points pointtype 9 pointsize 1 linecolor rgb "black"
}
unset multiplot
